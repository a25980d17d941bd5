#!/bin/sh
# Reads a sealed recording without optag: age opens it, ffmpeg makes a WAV of it. For whoever keeps copies of a
# bucket, or wants to see that there is no lock-in.
#
#   examples/read-sealed.sh RECORDING.opus.age DAY.key out.wav
#
# The key of the day comes from the installation: optag keys export 2026-11-24 -o day.key
set -eu
sealed=$1 key=$2 out=$3
age -d -i "$key" "$sealed" | ffmpeg -nostdin -loglevel error -y -i - "$out"
echo "$out"
