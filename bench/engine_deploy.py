"""Deploy an engine's environment alone, and check its command line.

Without preflight: 0.32.0 installs on a lab host whose driver it could not run with.
"""

from pyinfra.context import ctx_host

from fortyninety.fleet.planning import host_data
from fortyninety.fleet.refusal import Refused
from fortyninety.plan.plan import make_plan
from fortyninety.plan.survey_request import survey_request
from fortyninety.releases.release import load_release
from fortyninety.settings.parse import parse_settings
from fortyninety.survey.latest import take_reading
from fortyninety.tasks import engine, python, service

_host = ctx_host.get()  # type: ignore[no-untyped-call]
_settings = parse_settings(_host.name, host_data(_host))
if isinstance(_settings, list):
    raise Refused(_settings)
_card = load_release(_settings.engine)
_plan = make_plan(_settings, _card, take_reading(_host, survey_request(_settings, _card)))
python.install(_plan)
engine.install(_plan)
service.check(_plan)
