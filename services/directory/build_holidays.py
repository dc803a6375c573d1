"""Makes the nations' holidays that the product ships: `python -m services.directory.build_holidays`.

Needs the group `data` (`python3 deploy/local/bootstrap.py --group data`): the package holidays keeps what the law and
proclamations say. The same package makes the same bytes. What is proclaimed later is in a later package.
"""

import csv
import io
import logging
import sys
from importlib import import_module, metadata
from pathlib import Path

SUBDIVISIONS = {"england-and-wales": "ENG", "scotland": "SCT", "northern-ireland": "NIR"}
YEARS = range(2024, 2031)
HEAD = """\
# Bank holidays in England and Wales, Scotland and Northern Ireland, {first} to {last}; made by
# services.directory.build_holidays from the package holidays {version} (MIT licence).
# The law and the dates: Banking and Financial Dealings Act 1971, https://www.gov.uk/bank-holidays
"""

log = logging.getLogger(__name__)


def written(version: str) -> str:
    """The file's content."""
    out = io.StringIO()
    out.write(HEAD.format(first=YEARS[0], last=YEARS[-1], version=version))
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("calendar", "date", "name", "source"))
    source = f"the package holidays {version}; https://www.gov.uk/bank-holidays"
    for calendar, subdivision in SUBDIVISIONS.items():
        days = import_module("holidays").country_holidays("GB", subdiv=subdivision, years=YEARS, language="en_GB")
        for number, (day, name) in enumerate(sorted(days.items())):
            writer.writerow((calendar, day.isoformat(), name, "" if number else source))
    return out.getvalue()


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    path = Path(__file__).parent / "data/holidays.csv"
    path.write_text(written(metadata.version("holidays")), encoding="utf-8")
    log.info("%s", path)


if __name__ == "__main__":
    main()
