"""The daemon: listeners, nurseries, drain, signals, systemd."""
