"""The peers from Debian: how each is set up to do what nono does, as quick as its settings allow: one worker, no
access log, no cache, connections kept. Where a peer cannot do all of a row, the row's note says so."""

import os
import shutil
import subprocess

PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"
HOST = "api.bench.example"
ORIGIN = ("127.77.0.1", 9000)  # HTTP, and tunnels; TLS is one port above
ORIGINS = 16
NAMES = "127.77.1.1:5353"
CONNECTIONS = 8000
CERTGEN = "/usr/lib/squid/security_file_certgen"


def origins():
    first = ORIGIN[0].rsplit(".", 1)[0]
    return [f"{first}.{number}" for number in range(1, ORIGINS + 1)]


def found(program):
    return shutil.which(program, path=PATH)


def haproxy_relay(threads, host):
    """A plain relay to the origins, and what further parts of a configuration go by."""
    servers = "\n".join(f"  server o{at} {one}:{ORIGIN[1]}" for at, one in enumerate(origins()))
    return f"""
global
  maxconn {CONNECTIONS}
  nbthread {threads}
defaults
  timeout connect 5s
  timeout client 600s
  timeout server 600s
frontend tunnels
  mode tcp
  bind {host}:8887
  default_backend origins
backend origins
  mode tcp
{servers}
"""


def haproxy_by_threads(folder, threads, host):
    """The relay alone: its command, and where it listens."""
    config = folder / f"haproxy-{threads}.cfg"
    config.write_text(haproxy_relay(threads, host))
    return [found("haproxy"), "-db", "-f", str(config)], f"{host}:8887"


def haproxy(folder, key):
    (folder / "haproxy.cfg").write_text(haproxy_relay(1, "127.79.0.5") + f"""
frontend reverse
  mode http
  bind 127.79.0.5:8886
  http-request replace-path /api/(.*) /key/\\1
  http-request set-header Authorization "Bearer {key}"
  default_backend web
backend web
  mode http
  server web {ORIGIN[0]}:{ORIGIN[1]}
frontend tls
  mode http
  bind 127.79.0.5:8885 ssl crt {folder}/origin-both.pem
  http-request set-header Authorization "Bearer {key}"
  default_backend secure
backend secure
  mode http
  server secure {ORIGIN[0]}:{ORIGIN[1] + 1} ssl verify required ca-file {folder}/ca.pem sni str({HOST}) verifyhost {HOST}
""")
    return [found("haproxy"), "-db", "-f", str(folder / "haproxy.cfg")], "127.79.0.5:8887"


def nginx(folder, key):
    servers = " ".join(f"server {one}:{ORIGIN[1]};" for one in origins())
    temporary = " ".join(f"{name}_temp_path {folder}/nginx-{name};" for name in
                         ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    upstream = ('proxy_http_version 1.1; proxy_set_header Connection ""; '
                f'proxy_set_header Authorization "Bearer {key}"; proxy_max_temp_file_size 0;')
    (folder / "nginx.conf").write_text(f"""
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx-error.log crit;
user root;
events {{ worker_connections {2 * CONNECTIONS + 100}; }}
stream {{
  upstream origins {{ {servers} }}
  server {{ listen 127.79.0.6:8887 backlog=4096; proxy_pass origins; proxy_timeout 600s; }}
}}
http {{
  access_log off; keepalive_requests 100000000; keepalive_timeout 600s; {temporary}
  upstream web {{ server {ORIGIN[0]}:{ORIGIN[1]}; keepalive 64; keepalive_requests 100000000; }}
  upstream secure {{ server {ORIGIN[0]}:{ORIGIN[1] + 1}; keepalive 64; keepalive_requests 100000000; }}
  server {{ listen 127.79.0.6:8886 backlog=4096; location /api/ {{ proxy_pass http://web/key/; {upstream} }} }}
  server {{
    listen 127.79.0.6:8885 ssl backlog=4096; ssl_certificate {folder}/origin.pem; ssl_certificate_key {folder}/origin.key;
    location / {{
      proxy_pass https://secure; {upstream}
      proxy_ssl_verify on; proxy_ssl_trusted_certificate {folder}/ca.pem; proxy_ssl_server_name on; proxy_ssl_name {HOST};
    }}
  }}
}}
""")
    return [found("nginx"), "-p", str(folder), "-e", str(folder / "nginx-error.log"), "-c",
            str(folder / "nginx.conf")], "127.79.0.6:8887"


def trafficserver(folder, key):
    root = folder / "ats"
    for name in ("etc", "run", "log", "cache", "share"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "runroot.yaml").write_text(
        f"prefix: {root}\nexec_prefix: {root}\nbindir: /usr/bin\nsbindir: /usr/bin\nsysconfdir: {root}/etc\n"
        f"datadir: {root}/share\nincludedir: {root}\nlibdir: /usr/lib/trafficserver\n"
        f"libexecdir: /usr/lib/trafficserver/modules\nlocalstatedir: {root}\nruntimedir: {root}/run\n"
        f"logdir: {root}/log\ncachedir: {root}/cache\n")
    settings = {
        "http.server_ports": "8888:ip-in=127.79.0.7", "admin.user_id": "#-1", "http.connect_ports": "9000 9001",
        "http.cache.http": 0, "url_remap.remap_required": 0, "reverse_proxy.enabled": 1, "exec_thread.autoconfig": 0,
        "exec_thread.limit": 1, "accept_threads": 0, "task_threads": 1, "log.logging_enabled": 0,
        "net.connections_throttle": 2 * CONNECTIONS, "net.max_connections_in": 2 * CONNECTIONS,
        "net.listen_backlog": 4096, "http.keep_alive_no_activity_timeout_in": 600,
        "http.transaction_no_activity_timeout_in": 600, "http.transaction_no_activity_timeout_out": 600,
        "http.insert_request_via_str": 0, "http.insert_response_via_str": 0, "http.response_server_enabled": 0,
        "http.insert_age_in_response": 0, "http.auth_server_session_private": 0, "http.insert_squid_x_forwarded_for": 0, "crash_log_helper": "",
    }
    (root / "etc/records.config").write_text("".join(
        f"CONFIG proxy.config.{name} {'INT' if isinstance(value, int) else 'STRING'} {value or ('NULL' if value == '' else 0)}\n"
        for name, value in settings.items()))
    (root / "etc/remap.config").write_text(
        f"map http://127.79.0.7:8888/api/ http://{ORIGIN[0]}:{ORIGIN[1]}/key/ "
        f"@plugin=header_rewrite.so @pparam={root}/etc/key.conf\n")
    (root / "etc/key.conf").write_text(f'cond %{{REMAP_PSEUDO_HOOK}}\nset-header Authorization "Bearer {key}"\n')
    (root / "etc/ip_allow.yaml").write_text("ip_allow:\n  - apply: in\n    ip_addrs: 0/0\n    action: allow\n    methods: ALL\n"
                                            "  - apply: out\n    ip_addrs: 0/0\n    action: allow\n    methods: ALL\n")
    (root / "etc/storage.config").write_text(f"{root}/cache 64M\n")
    return [found("traffic_server"), f"--run-root={root}/runroot.yaml"], "127.79.0.7:8888"


def tinyproxy(folder, _key):
    (folder / "tinyproxy.conf").write_text(
        f"Port 8888\nListen 127.79.0.2\nMaxClients {CONNECTIONS}\nTimeout 600\nLogLevel Critical\n"
        f"LogFile \"{folder}/tinyproxy-own.log\"\nDisableViaHeader Yes\n")
    return [found("tinyproxy"), "-d", "-c", str(folder / "tinyproxy.conf")], "127.79.0.2:8888"


def squid_intercepts():
    """Only the package squid-openssl does."""
    return os.path.exists(CERTGEN)


def squid(folder, key, authority="rsa", host="127.79.0.3"):
    """Signs with the RSA authority that its documentation has one make, unless told otherwise."""
    own = folder / f"squid-{authority}"
    own.mkdir(exist_ok=True)
    own.chmod(0o777)  # it gives up root
    (own / "hosts").write_text(f"{ORIGIN[0]} {HOST}\n")
    bump = ""
    if squid_intercepts():
        if not (own / "certificates").exists():
            subprocess.run([CERTGEN, "-c", "-s", str(own / "certificates"), "-M", "4MB"], check=True, capture_output=True, timeout=30)
            subprocess.run(["chown", "-R", "proxy:proxy", str(own / "certificates")], check=False)
        bump = (f"http_port {host}:8885 ssl-bump tls-cert={folder}/{authority}-both.pem generate-host-certificates=on "
                f"dynamic_cert_mem_cache_size=4MB\nsslcrtd_program {CERTGEN} -s {own}/certificates -M 4MB\n"
                "acl first at_step SslBump1\nssl_bump peek first\nssl_bump bump all\n"
                f"tls_outgoing_options cafile={folder}/ca.pem\n")
    (own / "squid.conf").write_text(
        f"http_port {host}:8888\nhttp_port {host}:8886 accel defaultsite=api name=accel\n{bump}"
        f"acl accelerated myportname accel\ncache_peer {ORIGIN[0]} parent {ORIGIN[1]} 0 no-query originserver login=PASSTHRU name=web\n"
        "cache_peer_access web allow accelerated\ncache_peer_access web deny all\nnever_direct allow accelerated\n"
        f"request_header_access Authorization deny all\nrequest_header_replace Authorization Bearer {key}\n"
        f"http_access allow all\ncache deny all\naccess_log none\nhosts_file {own}/hosts\n"
        f"cache_log {own}/squid.log\npid_filename none\npinger_enable off\nvia off\nforwarded_for delete\n"
        "visible_hostname bench\nshutdown_lifetime 0 seconds\n"
        f"max_filedescriptors {2 * CONNECTIONS + 100}\ncoredump_dir {own}\n")
    return [found("squid"), "-N", "-f", str(own / "squid.conf")], f"{host}:8888"


def squid_p256(folder, key):
    """The same with an authority such as nono makes."""
    return squid(folder, key, "ca", "127.79.0.13")


PROGRAMS = {"haproxy": ("haproxy", haproxy), "nginx": ("nginx", nginx), "trafficserver": ("traffic_server", trafficserver),
            "tinyproxy": ("tinyproxy", tinyproxy), "squid": ("squid", squid), "squid by P-256": ("squid", squid_p256)}


def installed():
    return [name for name, (program, _) in PROGRAMS.items() if found(program)]
