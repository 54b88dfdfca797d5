"""The PyPI client etcd3 against one server: etcd3_client.py HOST:PORT."""

import sys
import threading

import etcd3


def puts_and_gets(client):
    client.put("a", "1")
    value, meta = client.get("a")
    assert value == b"1", value
    assert meta.version == 1 and meta.create_revision == meta.mod_revision
    previous = client.put("a", "2", prev_kv=True)
    assert previous.prev_kv.value == b"1", previous
    assert client.get("missing") == (None, None)
    assert client.put_if_not_exists("a", "3") is False
    assert client.put_if_not_exists("b", "3") is True
    assert client.replace("b", "3", "4") is True
    assert client.replace("b", "3", "5") is False
    assert client.delete("b") is True
    assert client.delete("b") is False


def ranges(client):
    for n in range(10):
        client.put(f"range/{n}", str(9 - n))
    values = [value for value, _ in client.get_prefix("range/")]
    assert values == [str(9 - n).encode() for n in range(10)], values
    keys = [meta.key for _, meta in client.get_range("range/3", "range/6")]
    assert keys == [b"range/3", b"range/4", b"range/5"], keys
    by_value = client.get_prefix("range/", sort_order="ascend", sort_target="value")
    assert [value for value, _ in by_value] == [str(n).encode() for n in range(10)]
    assert client.delete_prefix("range/").deleted == 10


def transactions(client):
    client.put("t", "1")
    done, answers = client.transaction(
        compare=[client.transactions.value("t") == "1", client.transactions.version("t") > 0],
        success=[client.transactions.put("t", "2"), client.transactions.get("t")],
        failure=[client.transactions.put("t", "3")],
    )
    assert done is True
    assert answers[1][0][0] == b"2", answers
    done, _ = client.transaction(
        compare=[client.transactions.value("t") == "1"],
        success=[],
        failure=[client.transactions.delete("t")],
    )
    assert done is False
    assert client.get("t") == (None, None)


def watches(client):
    events, cancel = client.watch_prefix("w/")
    client.put("w/1", "a")
    client.put("w/2", "b")
    client.delete("w/1")
    seen = [next(events) for _ in range(3)]
    cancel()
    assert [type(event).__name__ for event in seen] == ["PutEvent", "PutEvent", "DeleteEvent"]
    assert [event.key for event in seen] == [b"w/1", b"w/2", b"w/1"]

    done = threading.Event()
    heard = []

    def hear(response):
        heard.extend(response.events)
        done.set()

    watch_id = client.add_watch_callback("w/3", hear)
    client.put("w/3", "c")
    assert done.wait(10), "no event within 10 s"
    client.cancel_watch(watch_id)
    assert heard[0].value == b"c"


def leases(client):
    lease = client.lease(1000)
    assert lease.ttl == 1000 and lease.granted_ttl == 1000
    client.put("leased", "1", lease=lease)
    assert lease.keys == [b"leased"], lease.keys
    assert lease.remaining_ttl <= 1000
    assert next(iter(lease.refresh())).TTL == 1000
    lease.revoke()
    assert client.get("leased") == (None, None)


def locks(client):
    with client.lock("lock", ttl=30) as lock:
        assert lock.is_acquired()
        value, meta = client.get(lock.key)
        assert value is not None and meta.lease_id == lock.lease.id
    assert client.get(lock.key) == (None, None)
    other = client.lock("lock", ttl=30)
    assert other.acquire(timeout=5) is True
    assert other.release() is True


def cluster(client):
    members = list(client.members)
    assert len(members) == 1 and members[0].client_urls, members
    status = client.status()
    assert status.leader.id == members[0].id
    assert client.hash() is not None
    client.compact(client.get("a")[1].mod_revision)


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    client = etcd3.client(host=host, port=int(port), timeout=10)
    for step in [puts_and_gets, ranges, transactions, watches, leases, locks, cluster]:
        step(client)
        print(step.__name__, "passed", flush=True)
    client.close()
    print("all passed")


main()
