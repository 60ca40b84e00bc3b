"""How a process ends: the exit code of every error, as one table."""

from mcpd.errors import (
    EXIT_CONFIG,
    EXIT_FAILURE,
    EXIT_MAY_PASS,
    EXIT_USAGE,
    ConfigError,
    DeclarationError,
    McpdError,
    Unavailable,
)

# The first class that fits. The units start a service again after each code but EXIT_USAGE
# (argparse ends with it) and EXIT_CONFIG.
EXIT_CODES: tuple[tuple[type[McpdError], int], ...] = (
    (Unavailable, EXIT_MAY_PASS),
    (ConfigError, EXIT_CONFIG),
    (DeclarationError, EXIT_CONFIG),
    (McpdError, EXIT_FAILURE),
)
NOT_STARTED_AGAIN = frozenset({EXIT_USAGE, EXIT_CONFIG})  # RestartPreventExitStatus=


def exit_code(error: McpdError) -> int:
    """The exit code of a process that ends because of ``error``."""
    return next(code for kind, code in EXIT_CODES if isinstance(error, kind))
