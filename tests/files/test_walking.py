from backaudit.files.pickles.values import Inert, Reference
from backaudit.files.records import Storage, TensorRecord
from backaudit.files.walking import LONGEST_PATH, every_tensor, walk

NET = Reference("a", "Net")


def tensor(size: int) -> TensorRecord:
    return TensorRecord("uint8", (size,), (1,), 0, Storage(None, 0, size))


def test_tensors_are_found_wherever_they_are() -> None:
    made = Inert(NET, args=(tensor(1),), state={"w": tensor(2)})
    made.items["i"] = tensor(3)
    made.elements.append(tensor(4))
    made.keywords["k"] = tensor(5)
    saved = {"a": [made, (tensor(6),)], "b": tensor(7), "c": 1}
    found = [(name, record.shape[0]) for name, record in every_tensor(saved)]
    assert found == [
        ("a.0.w", 2),
        ("a.0.i", 3),
        ("a.0.0", 4),
        ("a.0.0", 1),
        ("a.0.k", 5),
        ("a.1.0", 6),
        ("b", 7),
    ]


def test_objects_that_lead_back_to_themselves_are_visited_once() -> None:
    first, second = Inert(NET), Inert(NET)
    first.state, second.state = {"next": second}, second
    second.elements.append(first)
    assert [name for name, _ in walk([first])] == ["", "0", "0.next"]


def test_a_long_chain_of_objects() -> None:
    last = Inert(NET)
    for _ in range(10_000):
        last = Inert(NET, state=last)
    assert sum(1 for _ in walk(last)) == 10_001


def test_what_is_a_key() -> None:
    assert [value for _, value in walk({(1, 2): 3})] == [{(1, 2): 3}, (1, 2)]


def test_paths_stay_short_however_long_shared_names_are() -> None:
    name, last = "k" * 100_000, Inert(NET)
    for _ in range(1000):
        last = Inert(NET, state={name: last})
    paths = [path for path, _ in walk({(name,) * 60: [last]})]
    assert len(paths) == 1004
    assert max(map(len, paths)) <= LONGEST_PATH
