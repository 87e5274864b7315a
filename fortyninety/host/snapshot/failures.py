"""How a step ends that cannot go on, each with an exit code of its own."""


class Failure(Exception):
    """Why this cannot go on, in one line for the operator."""

    exit_code = 1


class Cut(Failure):
    """The source went away in the middle, or is not there: another try may go on from here."""

    exit_code = 3


class WrongBytes(Failure):
    """What the source sent is not what was asked for."""

    exit_code = 4


class SourceRefuses(Failure):
    """The source answers, and its answer is no: trying again changes nothing."""

    exit_code = 5
