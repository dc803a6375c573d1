"""What an alliance is, as one process knows it: the state, how facts change it, and a copy that follows the directory.

`state` is pure. `generations` turns published areas into an atlas. `copy` follows Kafka; import it from there.
"""

from libs.alliance.state import NOTHING_KNOWN, Alliance, cannot_wait, evolve

__all__ = ["NOTHING_KNOWN", "Alliance", "cannot_wait", "evolve"]
