#!/bin/sh
# systemd/uninstall.sh: takes away what install.sh has put there. Configuration, secrets and kept
# tokens stay.
set -eu

if [ "$(id -u)" != 0 ]; then
    echo 'uninstall.sh: error: must be run as root' >&2
    exit 77
fi

units=/etc/systemd/system
if [ -e $units/tokend.service ]; then
    systemctl disable --quiet --now tokend.service tokend.socket
fi
rm -f $units/tokend.service $units/tokend.socket $units/tokend.service.d/254.conf
rmdir --ignore-fail-on-non-empty $units/tokend.service.d 2>/dev/null || :
rm -f /etc/sysusers.d/tokend.conf /etc/tmpfiles.d/tokend.conf /etc/tokend/tokend.toml.example
rm -f /usr/local/bin/tokend
rm -rf /opt/tokend /run/tokend
systemctl daemon-reload

echo 'uninstalled; what stays: /etc/tokend and /var/lib/private/tokend (configuration, secrets,'
echo 'kept tokens), and the group tokend-operators'
