#!/bin/bash
# Say whether the front on this host answers ("alive"), and whether it knows a box that is ready
# ("ready"), by its status port: keepalived's script, which runs each second.
exec 3<>"/dev/tcp/127.0.0.1/$2" && printf 'GET /ready HTTP/1.0\r\n\r\n' >&3 || exit 1
read -r -t 1 _ status _ <&3 || exit 1
case $1:$status in
alive:200 | alive:503 | ready:200) exit 0 ;;
esac
exit 1
