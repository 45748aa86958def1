"""nono as it is measured: token, host rules, name filter, SNI check, audit log and two credentials, as it ships."""

import base64
import json
import secrets

from peers import CONNECTIONS, HOST, NAMES, ORIGIN

AUDIT = "audit.jsonl"


class Nono:
    """One configuration in a folder of its own; `phantom(NAME)` once it has started."""

    def __init__(self, program, folder, key, rules=(), threads=1, denied=(), dns=False, sessions=0, host="127.79.0.4"):
        self.folder, self.address = folder, f"{host}:8888"
        self.dns_address = f"{host}:5300"
        self.program = program
        self.token = secrets.token_hex(32)
        folder.mkdir(exist_ok=True)
        (folder / "key").write_text(key)
        (folder / "key").chmod(0o600)
        base = folder.parent
        listed = "\n".join(f"    - {rule}" for rule in ["'*.bench.example:9000'", "127.77.0.0/24:9000", *rules])
        refused = "\n".join(f"    - {name}" for name in denied)
        further = "\n".join(f"  - {{name: s{at}, network: {{allow_domain: [s{at}.example]}}}}" for at in range(sessions))
        (folder / "nono.yaml").write_text(f"""
listen: {self.address}
threads: {threads}
network:
  allow_domain:
{listed}
  deny_domain: {"[]" if not refused else ""}
{refused}
  allow_private: [127.77.0.0/24]
  upstream_ca: [{base}/ca.pem]
dns:
  servers: ["{NAMES}"]
{f"  listen: ['{self.dns_address}']" if dns else ""}
{"  queries_per_second_max: 10000000" if dns else ""}
credentials: [plain, secure]
custom_credentials:
  plain:
    upstream: http://{ORIGIN[0]}:{ORIGIN[1]}/key
    credential_key: file://{folder}/key
    env_var: PLAIN_API_KEY
  secure:
    upstream: https://{HOST}:{ORIGIN[1] + 1}/key
    credential_key: file://{folder}/key
    env_var: SECURE_API_KEY
tls:
  ca_cert: {base}/ca.pem
  ca_key: {base}/ca.key
audit:
  log: {folder}/{AUDIT}
env_file:
  path: {folder}/proxy.json
  format: json
limits:
  connections_max: {2 * CONNECTIONS}
{"sessions:" if sessions else ""}
{further}""")

    def command(self):
        return [str(self.program), "proxy", "--config", str(self.folder / "nono.yaml")]

    def env(self):
        return {"NONO_PROXY_TOKEN": self.token, "HOME": str(self.folder)}

    def auth(self):
        return "Basic " + base64.b64encode(f"nono:{self.token}".encode()).decode()

    def phantom(self, name):
        return json.loads((self.folder / "proxy.json").read_text())[f"{name.upper()}_API_KEY"]
