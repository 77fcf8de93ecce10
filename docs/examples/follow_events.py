#!/usr/bin/env python3
"""Follows the events of a tenant, and goes on where it was when it is started again.

follow_events.py URL PLACE [COUNT]      needs python3; the token is in CALLBOARD_TOKEN

PLACE is a file that keeps the last sequence that was handled. After COUNT events it ends, if that is said.
"""
import http.client, json, os, sys, time, urllib.error, urllib.request

SILENCE_MAX = 60  # Seconds. A stream that lives says so every 15.
PAUSE = 1         # Seconds before a stream that has ended is opened again.

class Lost(Exception):
    """The feed is away, or asks to come back later. What `handle` and `keep` raise is never this, and ends the program."""

def handle(event):
    """What is done with an event. It may come twice, and never changes; its type may be one that nobody knows here."""
    print(event["sequence"], event["type"], flush=True)

def kept(place):
    try:
        with open(place) as file: return int(file.read())
    except FileNotFoundError: return 0

def keep(place, sequence):
    """Whole or not at all: what is there is the old place or the new one."""
    with open(place + ".new", "w") as file:
        file.write(str(sequence))
        file.flush()
        os.fsync(file.fileno())
    os.replace(place + ".new", place)

def sent(lines):
    """The server-sent events, each with its name and its data."""
    name, data = "message", []
    for line in lines:
        line = line.decode().rstrip("\r\n")
        if not line:
            if data: yield name, "\n".join(data)
            name, data = "message", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event": name = value
        elif field == "data": data.append(value)  # `id` is in the data, too; a comment has no field

def stream(url, place):
    """The events after the place, until the stream ends."""
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(kept(place)),
               "Authorization": "Bearer " + os.environ["CALLBOARD_TOKEN"]}
    request = urllib.request.Request(url + "/api/v1/events", headers=headers)
    with urllib.request.urlopen(request, timeout=SILENCE_MAX) as answer:
        for name, data in sent(answer):
            if name == "error": raise ConnectionError(data)
            yield json.loads(data)

def follow(url, place):
    """The same, and what is wrong with the connection is `Lost`."""
    events = stream(url, place)
    while True:
        try: event = next(events, None)
        except urllib.error.HTTPError as refused:
            # Whoever may not ask need not ask again; what else is wrong passes.
            if refused.code < 500 and refused.code != 429: sys.exit(f"{refused}: {refused.read().decode()}")
            raise Lost(refused) from refused
        except (OSError, http.client.HTTPException) as lost: raise Lost(repr(lost)) from lost
        if event is None: return
        yield event

def main(url, place, count=None):
    left = int(count) if count else None
    while left != 0:
        try:
            for event in follow(url, place):
                handle(event)
                keep(place, event["sequence"])  # after it was handled: else it might never be
                left = left and left - 1
                if left == 0: return
        except Lost as lost: print(lost, file=sys.stderr)
        time.sleep(PAUSE)

if __name__ == "__main__":
    if len(sys.argv) not in (3, 4): sys.exit(__doc__)
    main(*sys.argv[1:])
