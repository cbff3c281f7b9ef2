"""Whether something was met before: for what is counted each time and told once."""

from collections import OrderedDict
from collections.abc import Hashable


class Novelty:
    """Remembers the newest few, so that what never stops coming costs a line once and memory never grows."""

    def __init__(self, most: int = 256) -> None:
        self._most = most
        self._met: OrderedDict[Hashable, None] = OrderedDict()

    def is_new(self, thing: Hashable) -> bool:
        """Whether this thing is not among those remembered; it is from now on."""
        new = thing not in self._met
        self._met[thing] = None
        self._met.move_to_end(thing)
        if len(self._met) > self._most:
            self._met.popitem(last=False)
        return new
