#!/bin/sh
# Feeds a call to a recorder from a shell: curl announces it, ffmpeg sends each party's audio file as RTP.
#
#   OPTAG_TOKEN=optag_… examples/feed-with-ffmpeg.sh caller.wav employee.wav [http://127.0.0.1:8080]
#
# The token is that of a feed: optag token create pbx-1 --role feed.
set -eu
caller=$1 employee=$2 server=${3:-http://127.0.0.1:8080}
: "${OPTAG_TOKEN:?is not set}"

ask() { # METHOD PATH [JSON]
  curl -sS --fail-with-body -X "$1" -H "Authorization: Bearer $OPTAG_TOKEN" -H 'Content-Type: application/json' \
    "$server$2" ${3:+-d "$3"}
}
field() { # NAME: each value of a member of a JSON text, in order
  grep -o "\"$1\": *\"\\{0,1\\}[^\",}]*" | sed 's/.*: *"\{0,1\}//'
}

call=$(ask POST /api/v1/calls '{"department": "demo", "caller_number": "+45 12 34 56 78", "called_number": "+45 87 65 43 21",
  "streams": [{"label": "caller", "codec": "pcma", "source": {"ip": "127.0.0.1"}},
              {"label": "employee", "codec": "pcma", "source": {"ip": "127.0.0.1"}}]}')
id=$(echo "$call" | field id | head -n 1)
echo "announced: $id"
# Nothing is kept until the caller has said yes. Here the telephone system has asked.
ask POST "/api/v1/calls/$id/consent" '{"answer": "yes", "how": "system"}' >/dev/null

send() { # FILE PORT SSRC: at the speed at which it was spoken, 20 ms a packet
  ffmpeg -nostdin -loglevel error -re -i "$1" -ac 1 -ar 8000 -c:a pcm_alaw -frame_size 160 \
    -ssrc "$3" -f rtp "rtp://127.0.0.1:$2?pkt_size=172"
}
set -- $(echo "$call" | field port)
caller_port=$1 employee_port=$2
set -- $(echo "$call" | field ssrc)
# ffmpeg reads an SSRC as a signed number.
signed() { [ "$1" -lt 2147483648 ] && echo "$1" || echo $(($1 - 4294967296)); }
send "$caller" "$caller_port" "$(signed "$1")" >/dev/null &
one=$!
send "$employee" "$employee_port" "$(signed "$2")" >/dev/null &
wait $one && wait $!

ask POST "/api/v1/calls/$id/end" >/dev/null
ask GET "/api/v1/calls/$id"
echo
