#!/bin/sh
# systemd/install.sh WHEEL: tokend as a systemd service, from its wheel. With a newer wheel: an
# upgrade. What is configured stays as it is. PYTHON says which Python, if not python3.
set -eu
umask 022

fail() {
    echo "install.sh: error: $1" >&2
    exit "$2"
}

[ $# = 1 ] || fail 'usage: systemd/install.sh WHEEL' 64
[ -f "$1" ] || fail "$1: no such file" 66
[ "$(id -u)" = 0 ] || fail 'must be run as root' 77
python=${PYTHON:-python3}
"$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' ||
    fail "$python: tokend needs Python 3.11 or newer, with venv" 69
here=$(dirname "$0")

"$python" -m venv /opt/tokend
/opt/tokend/bin/pip install --quiet --require-hashes --only-binary :all: -r "$here/requirements.lock"
/opt/tokend/bin/pip install --quiet --no-deps --force-reinstall "$1"
ln -sf /opt/tokend/bin/tokend /usr/local/bin/tokend

install -D -m 644 "$here/tokend.sysusers" /etc/sysusers.d/tokend.conf
install -D -m 644 "$here/tokend.tmpfiles" /etc/tmpfiles.d/tokend.conf
systemd-sysusers tokend.conf
systemd-tmpfiles --create tokend.conf

install -d -m 755 /etc/tokend
install -d -m 700 /etc/tokend/secrets
install -m 644 "$here/../config/tokend.toml" /etc/tokend/tokend.toml.example
[ -e /etc/tokend/tokend.toml ] ||
    install -m 644 "$here/../config/service.toml" /etc/tokend/tokend.toml

units=/etc/systemd/system
install -m 644 "$here/tokend.service" "$here/tokend.socket" $units
if [ "$(systemctl --version | sed -n '1s/systemd \([0-9]*\).*/\1/p')" -ge 254 ]; then
    install -D -m 644 "$here/254.conf" $units/tokend.service.d/254.conf
fi
systemctl daemon-reload

if systemctl --quiet is-active tokend.service; then
    echo 'installed; now: systemctl restart tokend'
else
    echo 'installed; now: put the AppSecret into /etc/tokend/secrets, the appid into'
    echo '/etc/tokend/tokend.toml, and: systemctl enable --now tokend.socket tokend.service'
fi
