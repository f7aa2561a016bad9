"""Data sets as documents for scripts: stable keys, readable stamps."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.data.findings import Finding
    from engine.data.importer import ImportRefusedError
    from engine.data.manifest import Manifest
    from engine.domain.panel import Panel

FINDINGS_IN_JSON = 1000
"""Findings of one kind that a document holds; they are counted beside it."""


def facts_document(manifest: "Manifest") -> dict[str, Any]:
    """Return a manifest with stable keys and readable stamps."""
    document = asdict(manifest)
    document["first"], document["last"] = iso(manifest.first), iso(manifest.last)
    document["last_close"] = iso(manifest.last + manifest.timeframe.nanoseconds)
    document["warnings"] = findings_documents(manifest.warnings)
    return document


def bar_document(panel: "Panel", symbol: str, row: int) -> dict[str, Any]:
    """Return one bar of an instrument with its open and close time, None where nothing is known."""
    import math

    column = panel.symbols.index(symbol)
    opens = int(panel.timestamps[row])
    fields = ("open", "high", "low", "close", "volume") if panel.has_range else ("close",)
    values = {field: float(getattr(panel, field)[row, column]) for field in fields}
    return {
        "row": row + 1,
        "opens": iso(opens),
        "closes": iso(opens + panel.timeframe.nanoseconds),
        **{field: None if math.isnan(value) else value for field, value in values.items()},
    }


def findings_documents(findings: "Sequence[Finding]") -> list[dict[str, Any]]:
    """Return findings, one object each."""
    return [asdict(finding) for finding in findings]


def refusal_document(refused: "ImportRefusedError") -> dict[str, Any]:
    """Return every error of an import that was refused."""
    from engine.data.findings import capped, counts

    return {
        "imported": False,
        "name": refused.name,
        "error_counts": counts(refused.findings),
        "errors": findings_documents(capped(refused.findings, FINDINGS_IN_JSON)),
    }


def print_json(document: dict[str, Any]) -> None:
    """Print the one document of a command."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))


def iso(stamp: int) -> str:
    """Return UTC nanoseconds as an ISO 8601 text."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(stamp // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
