"""The deploy file of `fortyninety rollback`: pyinfra runs it once for each host."""

from pyinfra.context import ctx_host

from fortyninety.operations import rollback
from fortyninety.refused import Refused
from fortyninety.run import host_data
from fortyninety.settings import ROLLBACK_ENGINE, parse_settings

_host = ctx_host.get()  # type: ignore[no-untyped-call]
_data = host_data(_host)
_engine = _data.pop(ROLLBACK_ENGINE, None)
_settings = parse_settings(_host.name, _data)
if isinstance(_settings, list):
    raise Refused(_settings)
_done = rollback.rolled_back(
    settings=_settings, engine=_engine, name="Go back to what served before"
)
rollback.reported(done=_done, name="Report")
