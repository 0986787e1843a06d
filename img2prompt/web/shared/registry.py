"""What all visitors of this server share: batches, pipelines, histories.

Not in Streamlit's caches, since every visitor's browser may ask to clear those, for all.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Registry(Generic[Key, Value]):
    """Makes a value for each key once, however many visitors ask for it at the same time.

    Parameters
    ----------
    make : makes the value of a key; when it raises, nothing is kept, and the next visitor tries again
    most : values that are kept; the one that was not asked for longest is dropped. None: all
    """

    def __init__(self, make: Callable[[Key], Value], most: int | None = None) -> None:
        self._make, self._most = make, most
        self._slots: OrderedDict[Key, _Slot[Value]] = OrderedDict()
        self._lock = Lock()

    def __call__(self, key: Key) -> Value:
        """The value of this key."""
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
            self._slots.move_to_end(key)
            if self._most is not None and len(self._slots) > self._most:
                self._slots.popitem(last=False)
        with slot.lock:  # not the registry's: who asks for another key does not wait
            if not slot.values:
                slot.values.append(self._make(key))
            return slot.values[0]

    def drop(self, key: Key, value: Value) -> None:
        """Forget this value, unless another one was made for the key meanwhile."""
        with self._lock:
            slot = self._slots.get(key)
            if slot is not None and slot.values and slot.values[0] is value:
                del self._slots[key]

    def clear(self) -> None:
        """Forget all values, as a new server would."""
        with self._lock:
            self._slots.clear()


class _Slot(Generic[Value]):
    def __init__(self) -> None:
        self.lock = Lock()
        self.values: list[Value] = []  # one, once it is made
