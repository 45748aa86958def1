# Sourced under dbus-run-session: starts gnome-keyring unlocked and waits until it answers on the bus. Whoever
# asks earlier makes D-Bus start a second, locked one, which then reads a keyring that is half written.
printf 'password' | gnome-keyring-daemon --unlock --components=secrets > /dev/null || exit 90
tries=0
until dbus-send --session --print-reply --dest=org.freedesktop.DBus /org/freedesktop/DBus \
  org.freedesktop.DBus.NameHasOwner string:org.freedesktop.secrets | grep -q 'boolean true'; do
  tries=$((tries + 1))
  [ "$tries" -lt 500 ] || exit 90
  sleep 0.02
done
