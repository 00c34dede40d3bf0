"""The log: JSON lines on standard error. Tracebacks name places, never the values of variables."""

import logging
import sys

import structlog


def configure(level: int = logging.INFO) -> None:
    """Set the process up. Secrets have no way into it: their repr hides them, and no frame's locals are printed."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
