"""Where the documentation explains what a person is shown. `tests/pages/test_reference.py` looks for each entry."""

from collections.abc import Iterable, Mapping
from typing import Any

PAGES = "docs"  # in this checkout; the address of the pages if you publish them

LETTERS = f"{PAGES}/executions.md#dead-letters"


def of_row(row: Mapping[str, Any]) -> str | None:
    """The entry for the error in a row, or for a caption that failed. None if nothing failed."""
    if error := row.get("error"):
        return f"{PAGES}/results.md#{error['code'] if row['status'] == 'REJECTED' else 'failure-codes'}"
    if (row.get("caption") or {}).get("status") == "FAILED":
        return f"{PAGES}/runbook.md#failedcaptions"
    return None


def of_rows(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Each entry once, in the order of the rows."""
    return list(dict.fromkeys(entry for row in rows if (entry := of_row(row))))
