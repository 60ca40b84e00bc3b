"""Calls that become tasks: polled, cancelled and answered apart from the request that began them.

Two protocols on one core: the extension ``io.modelcontextprotocol/tasks`` of 2026-07-28, and the
experimental tasks of 2025-11-25.
"""
