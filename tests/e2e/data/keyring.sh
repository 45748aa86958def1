#!/bin/bash
# Runs under dbus-run-session: unlocks a fresh keyring, stores the key as the manual says, runs the rest
# of the command line. $1 is the account, $2 the key; the command follows.
set -euo pipefail
account=$1 key=$2
shift 2
. "$(dirname "$0")/../../support/unlock_keyring.sh"
printf '%s' "$key" | secret-tool store --label="nono: $account" service nono username "$account" target default
exec "$@"
