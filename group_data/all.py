"""Every setting, with its default and the reason. A file named after an inventory group overrides
it for that group; a host's own data in the inventory overrides both.

Sizes are MiB, power is W, times are seconds, lengths are tokens.
"""

# --- How a host is reached ------------------------------------------------------------------------

# Settings of pyinfra's SSH connector; ssh_hostname, ssh_port and ssh_key are others. Hosts with an
# unknown key are refused: add keys to ~/.ssh/known_hosts before the first run (docs/deploy.md).
ssh_strict_host_key_checking = "yes"

# Who logs in: root, or another user together with `_sudo = True`. None leaves it to ~/.ssh/config.
ssh_user = "root"

# --- What a host is for ---------------------------------------------------------------------------

# "engine": the host has cards and serves. "gateway": it is a front, which lets people with keys in
# to all boxes of the inventory that serve the same model name (docs/front.md). A host without
# "engine" gets no driver, no engine and no model, and needs no card. "monitor": it watches all
# boxes of the inventory that show their signals, by Prometheus and Alertmanager (docs/monitor.md).
roles = ["engine"]

# --- The engine ---------------------------------------------------------------------------------

# Which pinned vLLM release serves: a folder of engines/. 0.8.5.post1 is the release line whose
# wheels are built for CUDA 12.4, which Debian 13's own driver 550 runs.
engine = "0.8.5.post1"

# Where the engine's environments and this project's own tools live on the host.
install_directory = "/opt/fortyninety"

# How many earlier environments stay on the host, for `fortyninety rollback`. One of 0.8.5.post1
# takes 7.4 GB.
engines_kept = 1

# Further arguments of the engine's command line, such as ["--seed", "1"]. The release's own parser
# checks the whole command line before anything is restarted.
engine_arguments = []

# The attention backend, by the release's own name; None is the card's choice for the KV cache's
# type (engines/*/engine.yaml).
attention_backend = None

# Where Python packages come from: "host" is the index that the host's own uv and pip use, an
# address is another index (such as an internal one), and "none" is wheel_directory only.
package_index = "host"

# A folder of wheels on the host that is searched first (docs/engines.md).
wheel_directory = None

# Where the engine's Python 3.11 comes from: "distribution" is the package of the host's own
# release, "debian-12" is Debian 12's package at a low priority, "uv" is a build that uv fetches and
# keeps below install_directory. "auto": on Debian 13 Debian 12's, on Debian 12 its own, else uv's.
python_source = "auto"

# Where uv fetches its builds of Python from, instead of the public address: https:// or file://.
python_mirror = None

# The unprivileged account that the service runs as; created when absent.
service_user = "vllm"

# --- The model ----------------------------------------------------------------------------------

# One of the models that `fortyninety models` lists, such as "qwen2.5-32b-awq": it stands for the
# three settings model_repository, model_revision and quantization. None is what they say.
model = None

# The checkpoint, and the commit it is pinned to: a branch name is refused, because it moves.
model_repository = "hugging-quants/Meta-Llama-3.1-70B-Instruct-AWQ-INT4"
model_revision = "2123003760781134cfc31124aa6560a45b491fdf"

# Another hub with the same protocol; None is the public one. The list of the checkpoint's files is
# fetched over https only (docs/snapshot.md); an http:// hub needs a pinned list.
hub_endpoint = None

# Checkpoints go to <models_directory>/<name>/<commit>. Put it on local NVMe: 39.8 GB are read at
# every start. A rotational or network disk is refused unless allow_non_nvme insists.
models_directory = "/srv/models"
allow_non_nvme = False

# Where the token of a gated repository is on this machine: "file:~/.hub-token" or
# "environment:HF_TOKEN". Never the token itself: it would be in the repository, and in every log.
hub_token = None

# Where the bytes come from, if not from the hub: a folder of the hosts ("/mnt/disk/NAME"; one host
# that has it is enough) or a plain HTTP mirror ("http://mirror/NAME"). The checkpoint's list
# verifies them; without a hub make one by `fortyninety snapshot pin`.
snapshot_source = None

# How many commits of a checkpoint stay on a host, including the served one. Each takes the
# checkpoint's 39.8 GB, less the files that commits share.
snapshots_kept = 2

# A folder on another disk of the host with a second copy of the served commit, from which damaged
# files are restored without the network. None is no second copy.
second_copy_directory = None

# --- How it gets from host to host ---------------------------------------------------------------

# Fetch the checkpoint from the hub once for all hosts of a run, which pass it on to each other.
# With False each host fetches it from the hub.
snapshot_peers = True

# The name or address at which the other hosts reach this one; None is its SSH address.
peer_address = None

# The port on which a host passes it on, open to the hosts of the run during the run.
peer_port = 8873

# The maximum rate at which a host passes it on, in MB/s (1 Gbit/s is 119); None is no limit.
peer_rate_limit = None

# --- How it is served ---------------------------------------------------------------------------

# The model name in requests; None is the repository's name.
served_model_name = None

# The kernel for quantized weights. "awq_marlin" is the fast one for AWQ on RTX 4090s; the release's
# card has another spelling where needed (engines/*/engine.yaml). None sets no flag: the engine uses
# the checkpoint's own config.json, which is right for 16-bit and fp8 weights.
quantization = "awq_marlin"

# fp8 halves the KV cache: 160 KiB a token for Llama 3.1 70B, against 320 KiB at fp16.
kv_cache_dtype = "fp8"

# The longest sequence (prompt and answer together) times how many are decoded at once:
# "long-context" 32768 x 1, "balanced" 16384 x 4, "burst" 8192 x 8
# (fortyninety/settings/profiles.py).
profile = "balanced"

# Override one of the profile's two values; None is the profile's.
max_model_len = None
max_num_seqs = None

# How many tokens of prompts the engine reads at once; longer prompts are cut. None is the
# profile's, 2048. At max_model_len or above 0.6.3.post1 and 0.8.5.post1 read prompts whole, as the
# tutorial does: the first token comes a fifth sooner, the KV cache has less than half the size, and
# on two 24 GB cards the longest prompts end the engine (measured, docs/fit-measured.md), so it is
# refused there.
max_num_batched_tokens = None

# Reuse the KV cache of a known beginning of a prompt.
enable_prefix_caching = True

# The share of each card's memory that the engine may use.
gpu_memory_utilization = 0.95

# Over how many cards the model is split: "all" cards of the box, or a number.
# The 39.8 GB of AWQ-INT4 need two cards of 24 GB; see docs/fit.md.
tensor_parallel_size = "all"

# A plan that does not fit the cards is refused before anything is fetched: "warn" goes on with it.
fit = "refuse"

# Where the engine listens: on loopback, because its own access control is incomplete.
listen_address = "127.0.0.1"
port = 8000

# How long the first completion may take after the service starts. 70B from NVMe takes minutes.
ready_timeout = 1800

# What becomes of a box whose new unit does not start or gives no completion: "restore" puts back
# the unit that served before and sees it answer, so that a flag which parses and does not serve
# takes nobody's model away; the deploy fails all the same. "leave" leaves the new one, to be looked
# at. A cell's members are always left: they go back together (`fortyninety rollback`) or not.
on_failed_gate = "restore"

# Ports besides those of SSH and the engine, such as [9100] for a node exporter. `fortyninety check`
# fails on any other. With firewall = True everybody reaches these; else this opens no port.
other_listening_ports = []

# --- The firewall ---------------------------------------------------------------------------------

# Let in nothing but SSH, the gateway, other members of the cell, peers and other_listening_ports.
# False leaves the host's network as it is: whoever loses SSH to a box elsewhere drives there, so
# that this is asked for and never assumed (docs/firewall.md).
firewall = False

# The networks that SSH is let in from, IPv4 and IPv6, such as ["192.0.2.0/24", "2001:db8::/32"]; an
# empty list is everybody. One that leaves out where the deploy comes from is refused.
allowed_networks = []

# The same for gateway_port; an empty list is everybody, who needs a key there anyway.
gateway_allowed_networks = []

# --- Boxes that serve one model together ----------------------------------------------------------

# The name of this box's cell: boxes with the same name hold a part of the model each. The first of
# them in the inventory is the head, which answers requests (docs/cell.md).
cell = None

# The address at which the other members reach this box; None is its SSH address. Names are resolved
# where the deploy runs.
cell_address = None

# The head's port for the other members; the engine's own rendezvous uses the next port.
cell_port = 29500

# --- Gateway --------------------------------------------------------------------------------------

# Let people in who have a key: HAProxy on the box, over TLS, before the engine, which stays on
# loopback (docs/gateway.md). Keys are given by `fortyninety key`.
gateway = False

# The port that it answers on, on every address of the box.
gateway_port = 443

# Further names and addresses that clients reach the box by, such as ["llm.example.org"]: of the
# certificate, besides the inventory's name and ssh_hostname.
gateway_names = []

# A certificate of your own: a PEM file on this machine with the certificate, its chain and its key.
# None: the fleet's own authority, which a deploy makes beside the inventory, signs one.
gateway_certificate = None

# Where the gateway itself says how it is, on loopback: /ready, and /metrics for Prometheus.
gateway_status_port = 8404

# The port at which a box hears the fleet's fronts, by their certificates, where there are fronts.
gateway_fronts_port = 8443

# Where a front says how it is, on loopback: /ready is whether it knows a box that is ready.
front_status_port = 8405

# The largest body of a request, in KiB: 256 hold 64k tokens of English. All of it is read before
# the engine hears of it; a connection under way takes two of such buffers in the gateway's memory.
gateway_max_body_kib = 256

# How long a request is held while the engine restarts, before it is refused.
gateway_hold = 600

# How long the engine may take until the first token, and between tokens.
gateway_answer_timeout = 600

# How many connections there may be, held and served, and how many of them from one address.
gateway_connections = 2000
gateway_connections_per_client = 200

# How long a deploy that restarts the engine waits for what is under way: the box gets nothing new
# meanwhile (docs/drain.md). What takes longer is cut off 30 s later.
drain_timeout = 60

# How often a real completion tells whether the engine answers; each costs it some work.
gateway_probe_interval = 60

# An address that the fronts which name it share, with its network's prefix, such as
# "192.0.2.10/24": one of them has it, and another takes it within seconds where that one dies
# (docs/virtual-address.md). An address of nobody, in a network that all of them are in.
virtual_address = None

# Keep tenants from learning each other's prompts by how fast known beginnings of prompts are read:
# where a gateway names tenants, the engine shares its prefix cache within a tenant alone, and
# counts tokens per tenant (docs/tenants.md). With False all share it, and nothing is counted.
tenant_isolation = True

# --- Signals --------------------------------------------------------------------------------------

# Have the box say how it is, for Prometheus: the distribution's node exporter on loopback, and a
# program of this project that reads cards, engine and gateway (docs/signals.md).
signals = False

# How often it reads: at 30 s it costs a slow box 0.6 % of a core, at 60 s 0.3 % (docs/signals.md).
signals_interval = 60

# The exporter's port on loopback. Not 9100, where somebody's own may be, which stays as it is.
signals_exporter_port = 9490

# The port at which the host's gateway, or its front, shows the fleet's monitor what is on loopback,
# over TLS and by a certificate of the fleet's authority for it alone, such as 9491; None is none.
signals_port = None

# The networks that the monitor asks from, with firewall = True; an empty list is everybody, who
# needs its certificate anyway.
signals_allowed_networks = []

# --- The monitor ----------------------------------------------------------------------------------

# Where Prometheus and Alertmanager listen on a host of the role "monitor", on loopback alone. Not
# 9090 and 9093, where somebody's own may be, which stay as they are.
monitor_port = 9480
monitor_alerts_port = 9481

# How much Prometheus keeps, in GiB; the oldest goes first.
monitor_retention_gib = 10

# A file of this machine with the URL that alerts are posted to, which nobody else may read: such a
# URL is often a secret. None: they are seen on the monitor alone (docs/monitor.md).
alert_webhook_url_file = None

# --- The cards ----------------------------------------------------------------------------------

# The required model and number of the box's cards (None: at least one). The models that are known
# are in fortyninety/cards/cards.yaml (docs/cards.md).
gpu_model = "NVIDIA GeForce RTX 4090"
gpu_count = None

# Whether the box's cards read each other's memory. None is what its model does: GeForce cards do
# not. True is for two RTX 3090s with an NVLink bridge; False, where `nvidia-smi topo -p2p r` shows
# that this board or its IOMMU keeps others from it, by which the engine would hang at its start.
peer_to_peer = None

# The cap in W, set at every boot: a card forgets it when it loses power or its driver reloads.
# 400 W is the value of the tutorial that this project grew from (its author's claim; not measured
# here). It must lie within the card's own limits. For a cap per card name every one of them, by the
# UUID of `nvidia-smi -L` or the PCI address: {"GPU-5f2e...": 400, "0000:41:00.0": 350}
# (docs/power.md).
power_limit = 400

# --- The driver ---------------------------------------------------------------------------------

# Where the driver comes from: "distribution" is the host's own archive (Debian 13 carries
# 550.163.01), "nvidia" is NVIDIA's apt repository for the host's distribution, "present" is the
# host's image, whose driver is checked and never touched. "auto": the distribution's where it has
# driver_branch, else NVIDIA's (docs/driver.md).
driver_source = "auto"

# The branch of the NVIDIA driver; None is 550, or 580 where the engine needs that. With
# driver_source = "present" it is the least branch that is accepted.
driver_branch = None

# One version of the branch for every host, such as "550.163.01"; None is the latest there is when
# the driver is first installed. Either way the host is held at what was installed.
driver_version = None

# NVIDIA's kernel modules: "proprietary" or "open"; the RTX 4090 takes both. "auto": proprietary up
# to branch 555, open from 560 on, as NVIDIA recommends.
driver_kernel_modules = "auto"

# A mirror of https://developer.download.nvidia.com/compute/cuda/repos, with a folder for each
# distribution in it (<address>/debian12/x86_64/); None is NVIDIA's own.
nvidia_repository = None

# The full fingerprint of the repository's signing key; None is NVIDIA's. A mirror has its key
# beside its packages, as <last eight digits in lower case>.pub.
nvidia_repository_key = None

# The CUDA toolkit; None is the one released with the driver's branch: 12.4 with 550 (in Debian 13's
# archive), 13.0 with 580, 13.1 with 590. It is installed beside others, without a driver.
cuda_version = None

# A new driver needs a reboot. With False the run stops before it with an error.
allow_reboot = True

# How long a reboot may take before the host fails.
reboot_timeout = 600

# How long to wait for another process that uses apt, such as unattended upgrades, before the host
# fails. The process is named meanwhile.
apt_lock_timeout = 600
