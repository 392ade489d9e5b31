"""What all tests share: with EDGE_NO_SKIPS set (as in CI) a skip is a failure, but for GPU and Home Assistant tests."""

from __future__ import annotations

import os

import pytest

_skipped: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail") and not {"gpu", "homeassistant"} & set(report.keywords):
        _skipped.append(report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped and "/gpu" not in report.nodeid:
        _skipped.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if os.environ.get("EDGE_NO_SKIPS") and _skipped:
        session.exitstatus = 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if os.environ.get("EDGE_NO_SKIPS") and _skipped:
        terminalreporter.section("skipped although EDGE_NO_SKIPS is set")
        for nodeid in _skipped:
            terminalreporter.line(nodeid)
