"""How a step ends that cannot go on, each with an exit code of its own."""

MOST_SAID = 400


class Failure(Exception):
    """Why this cannot go on, in one line for the operator."""

    exit_code = 1


class Cut(Failure):
    """The source went away in the middle, or is not there: another try may go on from here."""

    exit_code = 3


class Silent(Cut):
    """The source was cut off in a way that is worth another try at once."""


class WrongBytes(Failure):
    """What the source sent is not what was asked for."""

    exit_code = 4


class SourceRefuses(Failure):
    """The source answers, and its answer is no: trying again changes nothing."""

    exit_code = 5


def one_line(said: str) -> str:
    """What another machine or program said, as one printable line of a few hundred characters."""
    words = " ".join(said.split())
    plain = "".join(each if each.isprintable() else "?" for each in words)
    return plain if len(plain) <= MOST_SAID else f"{plain[: MOST_SAID - 3]}..."
