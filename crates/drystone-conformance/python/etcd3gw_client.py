"""The PyPI client etcd3gw, which speaks JSON, against one server: etcd3gw_client.py HOST:PORT."""

import base64
import sys
import threading

import etcd3gw
from etcd3gw import exceptions


def puts_and_gets(client):
    assert client.put("a", "1") is True
    assert client.get("a") == [b"1"]
    (value, meta), = client.get("a", metadata=True)
    assert value == b"1" and meta["version"] == "1" and meta["key"] == b"a", meta
    assert client.get("missing") == []
    assert client.create("a", "2") is False
    assert client.create("b", "2") is True
    assert client.replace("b", "2", "3") is True
    assert client.replace("b", "2", "4") is False
    assert client.delete("b") is True
    assert client.delete("b") is False


def ranges(client):
    for n in range(10):
        client.put(f"range/{n}", str(9 - n))
    found = client.get_prefix("range/", sort_order="ascend", sort_target="value")
    assert [value for value, _ in found] == [str(n).encode() for n in range(10)], found
    assert len(client.get_all()) >= 10
    assert client.delete_prefix("range/") is True
    assert client.get_prefix("range/") == []


def transactions(client):
    text = lambda word: base64.b64encode(word.encode()).decode()
    done = client.transaction({
        "compare": [{"key": text("t"), "result": "EQUAL", "target": "CREATE", "create_revision": 0}],
        "success": [{"request_put": {"key": text("t"), "value": text("1")}}],
        "failure": [],
    })
    assert done["succeeded"] is True, done
    assert client.get("t") == [b"1"]


def watches(client):
    events, cancel = client.watch_prefix("w/")
    writer = threading.Timer(0.2, lambda: (client.put("w/1", "a"), client.delete("w/1")))
    writer.start()
    first, second = next(events), next(events)
    cancel()
    writer.join()
    assert first["kv"]["key"] == b"w/1" and first["kv"]["value"] == b"a", first
    assert second["type"] == "DELETE", second


def leases(client):
    lease = client.lease(ttl=1000)
    assert lease.ttl() <= 1000
    client.put("leased", "1", lease=lease)
    assert lease.keys() == [b"leased"], lease.keys()
    assert lease.refresh() == 1000
    assert lease.revoke() is True
    assert client.get("leased") == []


def locks(client):
    with client.lock(id="lock", ttl=30) as lock:
        assert lock.is_acquired()
        assert client.lock(id="lock", ttl=30).acquire() is False
    other = client.lock(id="lock", ttl=30)
    assert other.acquire() is True
    assert other.release() is True


def cluster(client):
    assert len(client.members()) == 1
    status = client.status()
    assert status["leader"] == status["header"]["member_id"], status


def refusals(client):
    try:
        client.post(client.get_url("/kv/range"), json={"key": "YQ==", "revision": 1 << 40})
    except exceptions.Etcd3Exception as error:
        assert "required revision is a future revision" in str(error.detail_text), vars(error)
    else:
        raise AssertionError("a read of the future was answered")


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    client = etcd3gw.client(host=host, port=int(port), timeout=10)
    steps = [puts_and_gets, ranges, transactions, watches, leases, locks, cluster, refusals]
    for step in steps:
        step(client)
        print(step.__name__, "passed", flush=True)
    print("all passed")


main()
