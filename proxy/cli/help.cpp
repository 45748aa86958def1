#include "proxy/cli/help.hpp"

namespace nono::cli {

std::string overview_text() {
  return "nono " NONO_VERSION
         ": runs a program in a sandbox whose only way out is a proxy that filters and holds the "
         "keys\n"
         R"(
Usage: nono COMMAND [FLAGS]

Running programs
  run [FLAGS] -- COMMAND     run a command in the sandbox

Proxying
  proxy [FLAGS]              the same proxy on its own, until SIGTERM
  session create [FLAGS]     a further user of a running proxy: a token, rules and keys of its own
  session list|revoke NAME   the sessions there are; ending one at once
  audit verify FILE...       was a line of an audit log changed, removed or moved?
  audit hosts FILE...        the rules that a job needed, as flags or YAML

Keys and this machine
  key set|list|remove NAME   keys in the system keyring
  setup --check-only         what this machine can enforce

Everywhere
  -s, --silent               errors only
  -v, --verbose              more of what was decided
  -h, --help                 of each command: nono run --help
  -V, --version

Examples
  nono run --allow-cwd -- python3 my_script.py
  nono run --allow-cwd --network-profile minimal -- python3 my_script.py
  nono key set openai
  nono run --allow-cwd --credential openai -- python3 my_agent.py
  nono proxy --listen 127.0.0.1:8080 --allow-domain example.com
  nono session create --profile ci --ttl 8h --env-file job.env

Exit codes: the command's own; 128+N when signal N ended it; 125 it could not be sandboxed;
126 and 127 as in a shell; 1 an error of nono, 2 of usage.
)";
}

std::string_view run_examples() {
  return R"(Examples:
  nono run --allow-cwd -- python3 my_script.py
      files: the current directory and the system's; network: open, which the banner says
  nono run --allow-cwd --network-profile minimal --allow-domain huggingface.co -- python3 my_script.py
      only the usual model providers and one more host
  nono run --allow-cwd --credential openai -- python3 my_agent.py
      the program holds a phantom; the key from the keyring (or $OPENAI_API_KEY) stays outside
  nono run --profile untrusted-python.json --allow-cwd -- python3 my_script.py
  nono run --block-net --allow-cwd -- make test
      no network at all

Variables in place of flags: NONO_ALLOW, NONO_BLOCK_NET, NONO_NETWORK_PROFILE, NONO_ALLOW_DOMAIN,
NONO_CREDENTIAL, NONO_PROFILE, NONO_OBSERVE, NONO_PROXY_CA_VALIDITY (lists separated by commas),
NONO_BACKEND.)";
}

std::string_view proxy_examples() {
  return R"(Examples:
  nono proxy --listen 127.0.0.1:8080 --allow-domain example.com
  nono proxy --network-profile developer --credential github --env-file proxy.env --env-format shell
      then, in the job: . ./proxy.env
  nono proxy --config nono.yaml --env-file "$GITHUB_ENV" --env-format github
  nono proxy --observe --audit-log job.jsonl --env-file proxy.env
      refuses nearly nothing; nono audit hosts job.jsonl then prints the allowlist of the job

The proxy confines nobody: only programs that use it are filtered. `nono run` confines.
Variables in place of flags: NONO_PROXY_TOKEN or NONO_PROXY_PASS (the token),
NONO_PROXY_MAX_CONNECTIONS, NONO_ADMIN_SOCKET, NONO_METRICS_LISTEN, NONO_DRAIN_TIME,
NONO_LOG_LEVEL, and those of `nono run` but NONO_ALLOW and NONO_BLOCK_NET.)";
}

std::string_view key_examples() {
  return R"(Examples:
  nono key set openai                   asks for the key, without echo
  pass show openai | nono key set openai
  nono key list
  nono key remove openai)";
}

std::string_view session_examples() {
  return R"(Examples:
  nono session create --allow-domain example.com --ttl 8h --env-file job.env
      then, in the job: . ./job.env
  nono session create --name team-a --credential openai=env://TEAM_A_KEY --print-token
  nono session create --profile ci --listen 127.0.0.1:0
      for clients that send no token: whoever reaches that listener is this session
  nono session list
  nono session revoke team-a
      its connections end at once

Keys are read by the proxy, where it runs: env:// is its environment. Sessions made here outlive a
reload of nono.yaml, not a restart of the proxy. Variables in place of flags: NONO_ADMIN_SOCKET,
NONO_NETWORK_PROFILE, NONO_ALLOW_DOMAIN, NONO_CREDENTIAL, NONO_PROFILE, NONO_OBSERVE,
NONO_UPSTREAM_PROXY, NONO_UPSTREAM_BYPASS.)";
}

std::string_view audit_examples() {
  return R"(Examples:
  nono audit verify audit.jsonl.1 audit.jsonl
      files that rotation made of one log, oldest first; exit 1 if anything is wrong, 3 if only
      the end of the last line is missing, as after a crash
  nono audit hosts job.jsonl
  nono audit hosts --format yaml job.jsonl
  nono audit hosts --refused job.jsonl)";
}

}  // namespace nono::cli
