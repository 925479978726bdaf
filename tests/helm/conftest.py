"""The flow tests' fixture `programs`, for the chart's tests that run the real programs."""

from flow.conftest import programs  # noqa: F401
