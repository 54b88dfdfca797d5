#!/bin/sh
# What an administrator does with the package, in a booted Debian: install it, start the service,
# lose its process, stop it, remove it, have it again, purge it. A command that fails ends it.
set -eux

# Waits until a command succeeds.
until_true() {
    tries=0
    until "$@"; do
        tries=$((tries + 1))
        [ "$tries" -lt 600 ]
        sleep 0.1
    done
}
property() { systemctl show drystone --property "$1" --value; }
restarted() { [ "$(property NRestarts)" = 1 ] && systemctl --quiet is-active drystone; }
reads_world() { [ "$(drystone ctl get --print-value-only hello)" = world ]; }

# Installed, and left alone until it is configured.
dpkg --install /root/drystone.deb
dpkg --verify drystone
getent passwd drystone
[ "$(systemctl is-enabled drystone)" = disabled ]
[ "$(systemctl is-active drystone)" = inactive ]
[ -s /usr/share/man/man1/drystone.1.gz ]
[ -s /usr/share/bash-completion/completions/drystone ]
[ -s /usr/share/zsh/vendor-completions/_drystone ]
[ -s /usr/share/fish/vendor_completions.d/drystone.fish ]

# Once `start` returns, it has said READY=1 and serves.
systemctl enable --now drystone
[ "$(property Type)" = notify ]
drystone ctl put hello world
reads_world
curl --fail --silent http://127.0.0.1:2379/health | grep '"health":"true"'

# The kernel's word: a user of its own, no capability, a filter on its calls, a root that it
# cannot write, and data that no one else reads.
process=$(property MainPID)
[ "$(stat --format %U "/proc/$process")" = drystone ]
grep '^CapBnd:[[:space:]]*0*$' "/proc/$process/status"
grep '^NoNewPrivs:[[:space:]]*1$' "/proc/$process/status"
grep '^Seccomp:[[:space:]]*2$' "/proc/$process/status"
grep '^[^ ]* / [^ ]* ro,' "/proc/$process/mounts"
[ "$(stat --format '%U %a' /var/lib/drystone)" = 'drystone 700' ]
systemd-analyze security --threshold 19 drystone | tail -n 1

# It comes back from a crash with what it had, and stops clean.
kill -KILL "$process"
until_true restarted
reads_world
systemctl stop drystone
[ "$(property Result)" = success ]
[ "$(property ActiveState)" = inactive ]

# Settings are taken from the file.
echo ETCD_LISTEN_METRICS_URLS=http://127.0.0.1:2399 >> /etc/default/drystone
systemctl start drystone
curl --fail --silent http://127.0.0.1:2399/health | grep '"health":"true"'

# Removed, it is stopped; settings and data stay, and the next installation goes on with them.
dpkg --remove drystone
[ -z "$(pidof drystone)" ]
[ -d /var/lib/drystone/default/member ]
dpkg --install /root/drystone.deb
[ "$(systemctl is-enabled drystone)" = enabled ]
systemctl start drystone
reads_world
curl --fail --silent http://127.0.0.1:2399/health | grep '"health":"true"'

# An upgrade starts the new binary.
before=$(property MainPID)
dpkg --install /root/drystone.deb
[ "$(property MainPID)" != "$before" ]
systemctl is-active drystone
reads_world

# Purged, nothing is left but the data, which no package may throw away, and its owner.
dpkg --purge drystone
[ ! -e /etc/default/drystone ]
[ ! -e /usr/bin/drystone ]
[ ! -e /etc/systemd/system/multi-user.target.wants/drystone.service ]
[ -d /var/lib/drystone/default/member ]
getent passwd drystone
