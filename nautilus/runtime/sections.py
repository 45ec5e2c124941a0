"""The sections of the configuration file and the struct that each decodes into, which stands beside its user."""

from __future__ import annotations

SECTIONS: dict[str, str] = {
}
