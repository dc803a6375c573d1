"""`make reset`: forget all that local runs have stored. Refuses while one is up."""

from __future__ import annotations

import shutil

from deploy.local import registry
from deploy.local.layout import Layout
from deploy.local.process import Trouble
from deploy.local.supervisor import holder


def reset(layout: Layout) -> str:
    """Remove `var/` and where it leads; the sentence that says so. Raises Trouble while a run is up."""
    if holder(layout) is not None:
        raise Trouble("It is up: stop it with `make stop` first.")
    if not layout.var.exists():
        return "There is nothing to forget."
    registry.sweep(layout.registry)
    for link in layout.var.iterdir():
        if link.is_symlink():  # PostgreSQL's folder may stand where its user can reach it
            shutil.rmtree(link.resolve(), ignore_errors=True)
    shutil.rmtree(layout.var)
    return f"Forgotten: {layout.var} is gone, with its data, logs, passwords and keys."


def main() -> None:
    try:
        print(reset(Layout.of_environment()))
    except (Trouble, OSError) as trouble:
        raise SystemExit(str(trouble)) from None


if __name__ == "__main__":
    main()
