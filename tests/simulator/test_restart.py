"""Crashes and restarts: what was answered is still there, and what was owed is still told."""

import json
import resource
import threading
from pathlib import Path

import httpx
import pytest

from tests.simulator.running import HUMAN, LINE, OTHER_LINE, SECRET, Network, Receiver, eventually, spawn


def restart(network: Network) -> None:
    network.kill()
    network.start()


def test_a_kill_keeps_everything(network: Network) -> None:
    bubble = network.text_in("hello")
    first = network.send("hi", idempotency_key="k1").json()
    network.v1("POST", f"/messages/{bubble['id']}/tapbacks", {"action": "add", "kind": "like"})
    network.control("POST", f"/handsets/{HUMAN}/tapbacks", {"bubble": "last", "kind": "love"})
    network.control("POST", f"/handsets/{HUMAN}/reads", {})
    network.set_faults(lost_answer={"next": 2}, line=OTHER_LINE)
    seen = [network.inbox(), network.events(), *lists(network)]
    restart(network)
    assert [network.inbox(), network.events(), *lists(network)] == seen
    assert network.send("hi", idempotency_key="k1").json() == first


def lists(network: Network) -> list[object]:
    paths = ("/handsets", "/stats", f"/lines/{OTHER_LINE}/faults", "/journal")
    return [network.control("GET", path).json() for path in paths] + [network.v1("GET", "/messages").json()]


def test_pending_callbacks_survive_a_kill(network: Network, receiver: Receiver) -> None:
    receiver.status = lambda event: 500
    network.text_in("one")
    network.text_in("two")
    eventually(lambda: receiver.posts)
    owed = [event["id"] for event in network.events()]
    restart(network)
    receiver.status = lambda event: 204
    eventually(lambda: receiver.texts() == ["one", "two"])
    assert [event["id"] for event in receiver.taken] == owed
    eventually(lambda: network.pending() == 0)


def test_taken_callbacks_are_not_repeated(network: Network, receiver: Receiver) -> None:
    network.text_in("one")
    eventually(lambda: network.pending() == 0)
    restart(network)
    network.text_in("two")
    eventually(lambda: receiver.texts() == ["one", "two"])


def test_counted_faults_go_on_after_a_kill(network: Network) -> None:
    network.set_faults(lost_answer={"next": 2})
    for _ in range(2):
        try:
            network.send()
        except httpx.RemoteProtocolError:
            restart(network)
    assert network.send().status_code == 202


def test_texts_still_wait_for_a_handset_after_a_kill(network: Network) -> None:
    network.set_service("off")
    network.send("patience")
    restart(network)
    assert network.texts_shown() == []
    network.set_service("imessage")
    assert network.texts_shown() == ["patience"]


def test_every_answered_send_survives_a_kill_under_load(network: Network) -> None:
    answered: list[str] = []
    url = network.url

    def send_until_refused(sender: int) -> None:
        with httpx.Client(base_url=url, trust_env=False, headers={"Authorization": "Bearer provider-token"}) as http:
            for number in range(10_000):
                body = {"from": LINE, "to": f"+1555555{sender:04}", "text": f"{sender}-{number}"}
                try:
                    answered.append(http.post("/v1/messages", json=body).json()["id"])
                except httpx.HTTPError:
                    return

    senders = [threading.Thread(target=send_until_refused, args=[sender]) for sender in range(4)]
    for sender in senders:
        sender.start()
    eventually(lambda: len(answered) > 100)
    network.kill()
    for sender in senders:
        sender.join(10)
    network.start()
    kept = {line["message_id"] for line in network.control("GET", "/journal", limit=10_000).json()["lines"][2:]}
    assert set(answered) <= kept


def test_a_torn_last_line_is_cut_off(network: Network) -> None:
    network.send("kept")
    network.kill()
    journal = network.data / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"type":"delivered_to_hand')
    network.start()
    assert network.texts_shown() == ["kept"]
    assert journal.read_bytes() == whole
    network.send("after")
    assert [json.loads(line)["type"] for line in journal.read_text().splitlines()][-1] == "delivered_to_handset"


def test_a_damaged_middle_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_bytes(b'{"type":"line"\n{"type":"line","line":"+15555550100","kind":"pool"}\n')
    process = spawn("--port", "0", "--data", str(tmp_path))
    _, complaint = process.communicate(timeout=10)
    assert process.returncode == 1
    assert "Line 1 of the journal is damaged." in complaint


def test_a_full_disk_stops_the_process_unanswered(network: Network) -> None:
    limit = (network.data / "journal.jsonl").stat().st_size + 4_000
    resource.prlimit(network.process.pid, resource.RLIMIT_FSIZE, (limit, limit))
    network.send("fits")
    with pytest.raises(httpx.HTTPError):
        network.send("x" * 20_000)
    assert network.process.wait(10) == 1
    network.start()
    assert network.texts_shown() == ["fits"]


def test_a_folder_has_one_simulator(network: Network) -> None:
    process = spawn("--port", "0", "--data", str(network.data))
    _, complaint = process.communicate(timeout=10)
    assert process.returncode == 1
    assert "in use by another simulator" in complaint


def test_sigterm_ends_cleanly_even_with_a_poll_open(network: Network, receiver: Receiver) -> None:
    poll = threading.Thread(target=lambda: poll_until_cut(network.url))
    poll.start()
    receiver.status = lambda event: 500
    network.text_in("owed")
    eventually(lambda: receiver.posts)
    assert network.terminate() == 0
    poll.join(5)
    network.start()
    assert network.pending() == 1
    network.v1("PUT", "/callback", {"url": receiver.url, "secret": SECRET})


def poll_until_cut(url: str) -> None:
    try:
        httpx.get(
            f"{url}/control/handsets/{HUMAN}/wait",
            params={"seconds": 30},
            headers={"Authorization": "Bearer control-token"},
            timeout=40,
            trust_env=False,
        )
    except httpx.HTTPError:
        return


def test_it_refuses_to_listen_beyond_this_machine(tmp_path: Path) -> None:
    process = spawn("--port", "0", "--data", str(tmp_path), "--host", "0.0.0.0")  # noqa: S104
    _, complaint = process.communicate(timeout=10)
    assert process.returncode == 2
    assert "not a loopback address" in complaint


def test_it_refuses_to_start_without_tokens(tmp_path: Path) -> None:
    process = spawn("--port", "0", "--data", str(tmp_path), SIMULATOR_CONTROL_TOKEN="")
    _, complaint = process.communicate(timeout=10)
    assert process.returncode == 2
    assert "SIMULATOR_CONTROL_TOKEN" in complaint
