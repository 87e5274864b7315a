#!/usr/bin/env python3
"""Run this box's part of an engine that several boxes serve one model with: together or not at all.

An engine of several hosts does not notice that another host's part died: the head goes on saying
that it is healthy and answers nothing, and the others wait for work for ever (seen with 0.32.0).
So this program is what the unit starts. Rank 0, the head, listens; every other member connects to
it and holds that connection. When all are in, each starts its engine; when a connection ends or
falls silent, when an engine ends, or when the head no longer answers, this program ends, and with
it the unit's every process. systemd starts it again, and it waits for the others. It needs no
privilege, sends nothing but the lines below, and executes nothing that comes over the network.

    member to head   join CELL RANK DIGEST
    head to member   wait REASON (and the connection ends), or start
    both             alive, every two seconds; the head's says "alive serving" once it has answered

Python 3.11, no packages.

    cell-member --cell a --rank 0 --members 10.0.0.1,10.0.0.2 --link-port 29500 --digest D \\
        --answer-port 8000 --answer-model NAME --complete /opt/fortyninety/bin/complete \\
        --progress METRIC,METRIC --ready-timeout 1800 -- vllm serve ...
"""

import argparse
import asyncio
import json
import os
import signal
import socket
import sys
import time
from typing import Any, NoReturn

# Seconds between two signs of life, and the silence after which a member counts as gone.
ALIVE_INTERVAL = 2.0
SILENCE = 15.0
# Seconds between attempts to reach the head, and that one may take.
RETRY_INTERVAL = 1.0
CONNECT_TIMEOUT = 5.0
# Seconds between looks at the head's engine while it loads, and once it has answered.
LOADING_INTERVAL = 1.0
SERVING_INTERVAL = 15.0
# Seconds that asking the engine may take: two requests of a minute, and what is around them.
ASKING_TIMEOUT = 150.0
# Seconds without an answer and without any of the progress metrics moving: the engine is hung.
HUNG = 180.0

# Characters of a line of another member that are read.
LONGEST_LINE = 300

# What the unit ends with when it is not this box's engine that ended.
EX_TEMPFAIL = 75


class Lost(Exception):
    """Why a connection is of no use any more."""


class Ended(Exception):
    """Why this member's engine must not go on."""


def say(message: str) -> None:
    """One line in the journal."""
    print(f"cell: {message}", flush=True)


class Status:
    """What `systemctl status` shows of this member; the deploy's gate reads it."""

    def __init__(self, cell: str, rank: int, size: int) -> None:
        self._head = f"cell {cell}, rank {rank} of {size}"
        self._address = os.environ.pop("NOTIFY_SOCKET", None)
        self._last = ""

    def set(self, text: str) -> None:
        """Tell systemd, and the journal where it is news."""
        if text == self._last:
            return
        self._last = text
        say(text)
        if self._address is None:
            return
        address = f"\0{self._address[1:]}" if self._address[0] == "@" else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(f"STATUS={self._head}: {text}".encode(), address)


class Link:
    """A connection to another member, in lines."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def address(self) -> str:
        """The other end."""
        return str((self._writer.get_extra_info("peername") or ("nobody",))[0])

    def send(self, line: str) -> None:
        """Send a line; what cannot be sent shows when the other end falls silent."""
        if not self._writer.is_closing():
            self._writer.write(f"{line}\n".encode())

    async def receive(self) -> str:
        """The next line. Raises Lost where none comes in time."""
        try:
            line = await asyncio.wait_for(self._reader.readline(), SILENCE)
        except TimeoutError:
            raise Lost(f"nothing heard for {SILENCE:.0f} s") from None
        except (OSError, ValueError) as error:
            raise Lost(str(error)) from None
        if not line.endswith(b"\n"):
            raise Lost("it ended the connection")
        text = line.decode(errors="replace").strip()
        # It is shown in the journal and in the unit's status.
        return "".join(each if each.isprintable() else " " for each in text)[:LONGEST_LINE]

    def close(self) -> None:
        """End it."""
        self._writer.close()


class Member:
    """What the head and the others have in common. `ended` is done as soon as all must end."""

    def __init__(self, options: argparse.Namespace, status: Status) -> None:
        self.options = options
        self.status = status
        self.addresses: list[str] = options.members.split(",")
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def own_address(self) -> str:
        """By which the others reach this member."""
        own: int = self.options.rank
        return self.addresses[own]

    def end(self, reason: str) -> None:
        """End the engine of this member, and with its connections those of all others."""
        if not self.ended.done():
            self.ended.set_result(reason)


class Head(Member):
    """Rank 0: waits for all others, says when to start, and is the one that is asked."""

    def __init__(self, options: argparse.Namespace, status: Status) -> None:
        super().__init__(options, status)
        self._links: dict[int, Link] = {}
        self._all_in = asyncio.Event()
        self._alive = "alive"

    async def rendezvous(self) -> None:
        """Wait until every other member has joined, and tell them to start."""
        self._show_waiting()
        self._server = await asyncio.start_server(
            self._joined, self.own_address, self.options.link_port
        )
        self._beating = asyncio.create_task(self._beat())
        await self._all_in.wait()

    async def watch(self) -> NoReturn:
        """Ask the engine for completions. Raises Ended where it never answers, or no longer."""
        began = last_progress = time.monotonic()
        progress: list[float] | None = None
        serving = False
        while True:
            await asyncio.sleep(SERVING_INTERVAL if serving else LOADING_INTERVAL)
            if serving:
                # One that is busy with others' requests need not be asked.
                now = await self._progress()
                if now is not None and now != progress:
                    progress, last_progress = now, time.monotonic()
                    continue
            answered = await self._answers()
            if answered:
                last_progress = time.monotonic()
                progress = await self._progress()
            if answered and not serving:
                serving, self._alive = True, "alive serving"
                self.status.set("serving")
            if serving and time.monotonic() - last_progress > HUNG:
                raise Ended(f"the engine has answered nothing for {HUNG:.0f} s")
            if not serving and time.monotonic() - began > self.options.ready_timeout:
                raise Ended(f"no answer within {self.options.ready_timeout} s of the start")

    async def _joined(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(reader, writer)
        rank = None
        try:
            rank = self._rank_of(link, await link.receive())
            self._admit(rank, link)
            while True:
                await link.receive()
        except Lost as lost:
            if rank is not None and self._links.get(rank) is link:
                if self._all_in.is_set():
                    self.end(f"rank {rank} ({link.address}) is gone: {lost}")
                del self._links[rank]
                if not self._all_in.is_set():
                    self._show_waiting()
        finally:
            link.close()

    def _rank_of(self, link: Link, line: str) -> int:
        """The rank that joins with `line`. Raises Lost, having told it why, where it may not."""
        words = line.split()
        ranks = {
            str(rank): rank
            for rank, address in enumerate(self.addresses)
            if rank > 0 and address == link.address
        }
        if len(words) != 4 or words[0] != "join" or words[2] not in ranks:
            # Not a member: it learns nothing.
            raise Lost("not a member")
        if words[1] != self.options.cell or words[3] != self.options.digest:
            link.send("wait the head has another configuration: deploy to the whole cell")
            self.status.set(
                f"waiting for rank {words[2]} ({link.address}), which has another configuration: "
                "deploy to the whole cell"
            )
            raise Lost("another configuration")
        return ranks[words[2]]

    def _admit(self, rank: int, link: Link) -> None:
        if self._all_in.is_set():
            # The connection that was held is of a member that died without a word.
            self.end(f"rank {rank} ({link.address}) came back without its engine")
            raise Lost("too late")
        self._links[rank] = link
        if len(self._links) == len(self.addresses) - 1:
            self._all_in.set()
            for each in self._links.values():
                each.send("start")
        else:
            self._show_waiting()

    def _show_waiting(self) -> None:
        missing = [rank for rank in range(1, len(self.addresses)) if rank not in self._links]
        named = ", ".join(f"rank {rank} ({self.addresses[rank]})" for rank in missing)
        self.status.set(f"waiting for {named}")

    async def _beat(self) -> None:
        while True:
            for link in self._links.values():
                link.send(self._alive)
            await asyncio.sleep(ALIVE_INTERVAL)

    async def _answers(self) -> bool:
        return (await self._complete("--model", self.options.answer_model))[0] == 0

    async def _progress(self) -> list[float] | None:
        """The values of the progress metrics, or None where they cannot be read."""
        ended_with, printed = await self._complete("--progress", self.options.progress)
        if ended_with != 0:
            return None
        try:
            found = json.loads(printed)
        except ValueError:
            return None
        values = found.get("progress") if isinstance(found, dict) else None
        return values if isinstance(values, list) else None

    async def _complete(self, *words: str) -> tuple[int | None, bytes]:
        """How the asking program ended, None where it did not, and what it printed.

        Only that program reads what an engine answers, and it bounds it.
        """
        asking = await asyncio.create_subprocess_exec(
            *(sys.executable, self.options.complete),
            *("--port", str(self.options.answer_port), *words),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            printed, _ = await asyncio.wait_for(asking.communicate(), ASKING_TIMEOUT)
        except TimeoutError:
            return None, b""
        finally:
            if asking.returncode is None:
                asking.kill()
        return asking.returncode, printed


class Follower(Member):
    """Every other rank: joins the head, starts when told, and holds the connection."""

    async def rendezvous(self) -> None:
        """Join the head, again and again, until it says start."""
        head = self.addresses[0]
        self.status.set(f"waiting for the head ({head})")
        while True:
            try:
                self._link = await self._join()
                return
            except Lost as lost:
                reason = str(lost)
            except (OSError, TimeoutError):
                reason = ""
            self.status.set(f"waiting for the head ({head}){': ' * bool(reason)}{reason}")
            await asyncio.sleep(RETRY_INTERVAL)

    async def watch(self) -> NoReturn:
        """Follow what the head says. Raises Ended when it is gone."""
        try:
            while True:
                if await self._link.receive() == "alive serving":
                    self.status.set("serving")
        except Lost as lost:
            raise Ended(f"the head ({self.addresses[0]}) is gone: {lost}") from None

    async def _join(self) -> Link:
        connecting = asyncio.open_connection(
            self.addresses[0], self.options.link_port, local_addr=(self.own_address, 0)
        )
        link = Link(*await asyncio.wait_for(connecting, CONNECT_TIMEOUT))
        link.send(f"join {self.options.cell} {self.options.rank} {self.options.digest}")
        beating = asyncio.create_task(self._beat(link))
        try:
            while True:
                line = await link.receive()
                if line == "start":
                    self._beating = beating
                    return link
                if line.startswith("wait "):
                    raise Lost(line.removeprefix("wait "))
        except Lost:
            beating.cancel()
            link.close()
            raise

    async def _beat(self, link: Link) -> None:
        while True:
            link.send("alive")
            await asyncio.sleep(ALIVE_INTERVAL)


async def run(options: argparse.Namespace) -> int:
    """One life of this member: wait for the others, run the engine, end with it or with them."""
    status = Status(options.cell, options.rank, len(options.members.split(",")))
    member = (Head if options.rank == 0 else Follower)(options, status)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)

    stop = asyncio.create_task(stopping.wait())
    meeting = asyncio.create_task(member.rendezvous())
    await asyncio.wait({stop, meeting}, return_when=asyncio.FIRST_COMPLETED)
    if stop.done():
        return 0
    await meeting
    status.set("starting the engine")
    engine = await asyncio.create_subprocess_exec(*options.command)
    exited = asyncio.create_task(engine.wait())
    watching = asyncio.create_task(member.watch())
    endings: set[asyncio.Future[Any]] = {stop, exited, watching, member.ended}
    done, _ = await asyncio.wait(endings, return_when=asyncio.FIRST_COMPLETED)
    if stop in done and exited not in done:
        # What is under way may be finished, for as long as the engine takes and systemd waits.
        engine.send_signal(signal.SIGTERM)
        await exited
        return 0
    if exited in done:
        status.set(f"this box's engine ended with {exited.result()}")
        return exited.result() if exited.result() > 0 else 1
    reason = watching.exception() if watching in done else member.ended.result()
    status.set(f"ending the engine: {reason}")
    engine.kill()
    return EX_TEMPFAIL


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cell", required=True, help="the cell's name")
    parser.add_argument("--rank", type=int, required=True, help="0 is the head")
    parser.add_argument("--members", required=True, help="every address, by rank, with commas")
    parser.add_argument("--link-port", type=int, required=True, help="where the head listens")
    parser.add_argument("--digest", required=True, help="what all members must have alike")
    parser.add_argument("--answer-port", type=int, required=True, help="the engine's, on the head")
    parser.add_argument("--answer-model", required=True, help="the served model's name")
    parser.add_argument("--complete", required=True, help="the program that asks for a completion")
    parser.add_argument("--progress", required=True, help="metrics of an engine that works")
    parser.add_argument("--ready-timeout", type=int, required=True, help="seconds")
    parser.add_argument("command", nargs="+", help="the engine's command line, after --")
    try:
        return asyncio.run(run(parser.parse_args()))
    except OSError as error:
        # Such as an address that this box does not have yet.
        say(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
