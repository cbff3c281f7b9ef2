"""Posts as fast as it is answered, or at a fixed rate, from a process of its own, and says what came of it.

Plain sockets and as little Python a request as can be: it must not be what the others wait for. It reads its order as
JSON from standard input and writes its `Outcome` as JSON to standard output.

At a fixed rate a request has its instant whether or not the last one was answered, and its latency counts from
that instant: who is late makes the next ones late too, and that is part of what is measured.
"""

import gc
import itertools
import json
import select
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from typing import Any

_HEADERS_END = b"\r\n\r\n"


class Connection:
    """One connection, kept alive. One request is under way on it at a time."""

    def __init__(self, host: str, port: int) -> None:
        self.socket = socket.create_connection((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.since = 0.0
        self._answer = b""

    def send(self, request: bytes) -> None:
        sent = self.socket.send(request)
        if sent < len(request):
            self.socket.sendall(memoryview(request)[sent:])

    def receive(self) -> bytes | None:
        """Read what is there; returns the status once the answer is whole.

        Raises:
            ConnectionError: the far end closed the connection.
        """
        chunk = self.socket.recv(65_536)
        if not chunk:
            raise ConnectionError("the far end closed the connection")
        answer = self._answer + chunk if self._answer else chunk
        head = answer.find(_HEADERS_END)
        if head < 0 or len(answer) < head + 4 + _length(answer[:head]):
            self._answer = answer
            return None
        self._answer = b""
        return answer[9:12]


def _length(head: bytes) -> int:
    found = head.lower().find(b"content-length:")
    return int(head[found + 15 :].split(b"\r\n", 1)[0]) if found >= 0 else 0


def requests(order: Mapping[str, Any]) -> Iterator[bytes]:
    """Request after request from the template, each with a number of its own, and about the groups in turn."""
    template = order["template"].encode()
    head = f"POST {order['path']} HTTP/1.1\r\nHost: {order['host']}:{order['port']}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(template)}\r\n\r\n"
    group, number = order["group"].encode(), order["number"].encode()
    # Few groups are laid out beforehand: what the load does for each request is what others do not get.
    laid_out = min(order["groups"], 100)
    whole = [head.encode() + template.replace(group, b"svc-%05d" % index) for index in range(laid_out)]
    for count in itertools.count(order["first"]):
        index = count % order["groups"]
        request = (
            whole[index] if index < laid_out else head.encode() + template.replace(group, b"svc-%05d" % index)
        )
        yield request.replace(number, b"%010d" % count)


def at_once(connections: list[Connection], order: Mapping[str, Any]) -> tuple[Counter[bytes], list[float]]:
    """Every connection posts again as soon as it was answered, until the time is over or the count is reached."""
    statuses: Counter[bytes] = Counter()
    latencies: list[float] = []
    by_file = {each.socket.fileno(): each for each in connections}
    poll = select.epoll()
    for file in by_file:
        poll.register(file, select.EPOLLIN)
    source = requests(order)
    clock = time.perf_counter
    left = order.get("count") or sys.maxsize
    until = clock() + (order.get("seconds") or 3600.0)
    waiting = 0
    for each in connections[:left]:
        each.since = clock()
        each.send(next(source))
        waiting += 1
        left -= 1
    while waiting:
        for file, _ in poll.poll():
            each = by_file[file]
            status = each.receive()
            if status is None:
                continue
            now = clock()
            statuses[status] += 1
            latencies.append(now - each.since)
            if left > 0 and now < until:
                left -= 1
                each.since = now
                each.send(next(source))
            else:
                waiting -= 1
    return statuses, latencies


def at_rate(connections: list[Connection], order: Mapping[str, Any]) -> tuple[Counter[bytes], list[float]]:
    """So many requests a second, each on a connection that is free; where none is, the request waits for one."""
    statuses: Counter[bytes] = Counter()
    latencies: list[float] = []
    by_socket = {each.socket: each for each in connections}
    free = deque(connections)
    source = requests(order)
    clock = time.perf_counter
    total = order.get("count") or int(order["rate"] * order["seconds"])
    began = clock()
    issued = answered = 0
    while answered < total:
        now = clock()
        while issued < total and free and began + issued / order["rate"] <= now:
            each = free.popleft()
            each.since = began + issued / order["rate"]
            each.send(next(source))
            issued += 1
        wait = 1.0 if issued == total or not free else began + issued / order["rate"] - clock()
        # select, because it alone takes a timeout finer than a millisecond
        for ready in select.select(by_socket, (), (), max(0.0, wait))[0]:
            each = by_socket[ready]
            status = each.receive()
            if status is not None:
                statuses[status] += 1
                latencies.append(clock() - each.since)
                free.append(each)
                answered += 1
    return statuses, latencies


def main() -> None:
    order = json.load(sys.stdin)
    connections = [Connection(order["host"], order["port"]) for _ in range(order["connections"])]
    gc.disable()
    began, worked = time.perf_counter(), time.process_time()
    statuses, latencies = (at_rate if order.get("rate") else at_once)(connections, order)
    seconds = time.perf_counter() - began
    latencies.sort()
    json.dump(
        {
            "answers": {status.decode(): count for status, count in statuses.items()},
            "seconds": seconds,
            "busy": (time.process_time() - worked) / seconds,
            "p50_seconds": latencies[len(latencies) // 2],
            "p99_seconds": latencies[len(latencies) * 99 // 100],
            "longest_seconds": latencies[-1],
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
