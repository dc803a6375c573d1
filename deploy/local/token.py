"""`make token ROLE=… FORCE=…`: prints a bearer token of the local issuer, and nothing else, on standard output."""

from __future__ import annotations

import argparse
import os
import sys

from deploy.local.issuer import make_token, refuse_outside_local_use
from deploy.local.process import Trouble
from deploy.local.supervisor import layout_of_the_run
from libs.service.caller import ROLES


def main() -> None:
    parser = argparse.ArgumentParser(prog="make token", description=__doc__)
    parser.add_argument("--role", default="", help="one or more of: " + ", ".join(sorted(ROLES)))
    parser.add_argument("--force", default="", help="the forces it may see, as bedfordshire,hertfordshire")
    parser.add_argument("--subject", default="", help="who it is for; by default made from the role")
    parser.add_argument("--home", default="", help="its own force, where it may see several")
    parser.add_argument("--site", default="", help="where a handler sits")
    parser.add_argument("--alliance", action="store_true", help="it may also see the alliance's default queue")
    parser.add_argument("--hours", type=float, default=12.0)
    asked = parser.parse_args()
    roles, forces = _list(asked.role), _list(asked.force)
    unknown = [role for role in roles if role not in ROLES]
    if unknown or not roles:
        what = f"There is no role {unknown[0]}" if unknown else "A role is needed"
        raise SystemExit(
            f"{what}: make token ROLE=handler FORCE=bedfordshire; the roles are {', '.join(sorted(ROLES))}."
        )
    refuse_outside_local_use(os.environ)
    layout = layout_of_the_run()
    print(
        make_token(
            layout.secrets,
            layout.issuer_url,
            roles=roles,
            forces=forces,
            subject=asked.subject or f"local-{roles[0]}",
            site=asked.site or None,
            alliance=asked.alliance,
            home=asked.home or None,
            lifetime_s=int(asked.hours * 3600),
        )
    )


def _list(text: str) -> list[str]:
    return [part for part in text.replace(",", " ").split() if part]


if __name__ == "__main__":
    try:
        main()
    except Trouble as trouble:
        print(trouble, file=sys.stderr)
        raise SystemExit(1) from None
