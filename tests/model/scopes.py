"""The scopes that are explored: a short form of each family for every run, and a wide one for the long run."""

from __future__ import annotations

from dataclasses import replace

from tests.model.scope import COARSE, FINE, MIDDLE, JobKind, Scope

TWO = (JobKind("a"), JobKind("b"))
SAME_NAME = (JobKind("a", training_name="x"), JobKind("b", training_name="x"))
HOSTS = (JobKind("a", 2),)
RETRY = (JobKind("a", retries=1),)
CRASH = frozenset({"crash"})
# Both pods of a job with two hosts are made and recorded.
MADE = ("create a", "create configmaps", "create services", "create pods", "create pods", "merge trainingjobs")
TRAIN = (*MADE, "algo-1 staging", "algo-2 staging", "algo-1 training", "algo-2 training")
STOP, DELETE, AGAIN = ("create a", "stop a"), ("create a", "delete a"), ("create a", "delete a", "create a")
PAUSE = ("create a", "suspend a", "resume a")
TROUBLES = frozenset({"stage", "unschedulable", "unpullable"})

LIFE = Scope("a whole life, all troubles, timeouts", troubles=TROUBLES, results=("Committed", "Failed"), epochs=1)
BLOCKED = Scope("no node has room", path=COARSE, troubles=frozenset({"unschedulable", "for ever"}), users=(STOP,))
LIMIT = Scope("the runtime limit", path=MIDDLE, troubles=frozenset({"limit"}), jobs=(JobKind("a", max_runtime=60),))
INTERVALS = Scope("status writes that wait for each other", path=MIDDLE, coalesce=True)
FAULTS = Scope("three faults", path=COARSE, faults=3)
LOSS = Scope("a pod lost, a fault", path=COARSE, losses=1, faults=1)
STOPPED = Scope("a stop, a fault", path=COARSE, codes=(0,), users=(STOP,), faults=1)
DELETED = Scope("a deletion, two faults", path=COARSE, users=(DELETE,), faults=2)
SUCCESSOR = Scope("deleted and made again, a fault", path=COARSE, codes=(0,), users=(AGAIN,), faults=1)
WITHIN = Scope("events within a pass, a deletion", path=COARSE, users=(DELETE,), interrupts=True)
# Of two jobs that are alike, the first to be created is called a.
IN_TURN = (("create a", "create b"),)
JOBS = Scope("two jobs, a fault", path=COARSE, codes=(0,), jobs=TWO, users=IN_TURN, faults=1, reduced=True)
ONE_NAME = Scope(
    "two jobs, one trainingJobName", path=COARSE, codes=(0,), jobs=SAME_NAME, users=(DELETE, ("create b",))
)
GANG = Scope("two hosts", path=MIDDLE, jobs=HOSTS)
GANG_LOSS = Scope(
    "two hosts, one lost in training",
    path=MIDDLE,
    jobs=HOSTS,
    codes=(0,),
    losses=1,
    loss_kinds=frozenset({"evict"}),
    opening=TRAIN,
)
GANG_FAULT = Scope("two hosts, a crash", path=MIDDLE, jobs=HOSTS, codes=(0,), faults=1, fault_kinds=CRASH)
GANG_STOP = Scope(
    "two hosts stopped in training", path=MIDDLE, jobs=HOSTS, codes=(), users=(STOP,), opening=(*TRAIN, "stop a")
)
RETRIED = Scope("an attempt lost, another one, a fault", path=COARSE, codes=(0,), jobs=RETRY, losses=1, faults=1)
TWICE = Scope("two pods lost, one retry", path=COARSE, codes=(0,), jobs=RETRY, losses=2)
SUSPENDED = Scope("suspended and resumed", path=COARSE, codes=(0,), users=(PAUSE,))
EXPIRED = Scope("gone some time after its end, a fault", path=COARSE, jobs=(JobKind("a", ttl=60),), faults=1)
LEADERS = Scope("two leaders", path=COARSE, operators=2)
LEADERS_FAULT = Scope(
    "a leader and a stale one's pass, a fault", path=COARSE, codes=(0,), operators=2, passes=1, faults=1
)
LEADERS_LOSS = Scope(
    "a leader and a stale one's pass, a pod vanished",
    path=COARSE,
    codes=(0,),
    operators=2,
    passes=1,
    losses=1,
    loss_kinds=frozenset({"vanish"}),
)

SPOT = Scope(
    "managed spot, interrupted once",
    path=COARSE,
    codes=(0,),
    jobs=(JobKind("a", 1, "", 600, spot=True, max_wait=5000),),
    losses=1,
)
WAIT = replace(
    SPOT,
    name="the longest wait is over",
    jobs=(JobKind("a", 1, "", 600, spot=True, max_wait=1200),),
    losses=0,
    troubles=frozenset({"unschedulable", "for ever"}),
    epochs=1,
)
PENDING = Scope(
    "capacity does not come in time",
    path=COARSE,
    codes=(0,),
    jobs=(JobKind("a", max_pending=1800),),
    epochs=1,
    troubles=frozenset({"unschedulable", "for ever"}),
)
FENCE = replace(
    SPOT,
    name="a node dies, and its pod commits all the same",
    faults=1,
    loss_kinds=frozenset({"dead"}),
    troubles=frozenset({"zombie"}),
)
LEASE = Scope(
    "the lease is lost between two writes",
    path=COARSE,
    codes=(0,),
    operators=2,
    lease=True,
    faults=1,
    fault_kinds=frozenset({"lease"}),
)
TWO_LEADERS = replace(
    JOBS, name="two jobs, a leader and a stale one's pass", users=IN_TURN, operators=2, passes=1, faults=0, reduced=True
)
# All at once: every order of the steps that follow, of both operators, with three faults of any kind among them.
ALL = replace(
    JOBS,
    name="two jobs, two leaders, three faults, from the start",
    users=IN_TURN,
    operators=2,
    faults=3,
    reduced=True,
    depth=6,
)
UNWRITTEN = (
    "create a",
    "create b",
    "create configmaps",
    "create pods",
    "merge trainingjobs",
    "create configmaps",
    "create pods",
)
ALL_MADE = replace(ALL, name="two jobs, two leaders, three faults, once pods are made", opening=UNWRITTEN, depth=4)
ALL_TRAIN = replace(
    ALL,
    name="two jobs, two leaders, three faults, in training",
    opening=(*UNWRITTEN, "merge trainingjobs", "a-1-algo-1 training", "b-1-algo-1 training"),
    depth=3,
)

SHORT = (
    LIFE,
    BLOCKED,
    LIMIT,
    INTERVALS,
    FAULTS,
    LOSS,
    STOPPED,
    DELETED,
    SUCCESSOR,
    RETRIED,
    TWICE,
    SUSPENDED,
    EXPIRED,
    WITHIN,
    JOBS,
    ONE_NAME,
    GANG,
    GANG_LOSS,
    LEADERS,
    LEADERS_FAULT,
    LEADERS_LOSS,
    SPOT,
    WAIT,
    PENDING,
    FENCE,
    LEASE,
    TWO_LEADERS,
    ALL,
    ALL_MADE,
    ALL_TRAIN,
)

LONG = (
    replace(LIFE, name="a whole life, all troubles, a pod lost", losses=1, epochs=0),
    replace(FAULTS, name="three faults, each stage of a pod", path=FINE, codes=(0, 1)),
    replace(LOSS, name="two pods lost, two faults", losses=2, faults=2),
    replace(STOPPED, name="a stop, three faults", faults=3),
    replace(DELETED, name="a deletion, three faults", faults=3),
    replace(SUCCESSOR, name="deleted and made again, three faults", faults=3),
    replace(RETRIED, name="two attempts lost, a third one, a fault", jobs=(JobKind("a", retries=2),), losses=2),
    replace(RETRIED, name="an attempt lost, another one, a deletion, a fault", users=(DELETE,)),
    replace(RETRIED, name="an attempt lost, another one, a stop", users=(STOP,), faults=0),
    replace(
        RETRIED,
        name="an attempt vanished, another one, a stale leader's pass",
        operators=2,
        passes=1,
        faults=0,
        loss_kinds=frozenset({"vanish"}),
    ),
    replace(GANG_LOSS, name="two hosts, one lost, another attempt", jobs=(JobKind("a", 2, retries=1),)),
    replace(SUSPENDED, name="suspended and resumed, two faults", faults=2),
    replace(WITHIN, name="events within a pass, a stop", users=(STOP,), codes=(0,)),
    replace(WITHIN, name="events within a pass, a deletion, two faults", faults=2, codes=(0,)),
    replace(JOBS, name="two jobs, a pass of each at once, a fault", workers=2, reduced=False),
    replace(JOBS, name="two jobs, three faults", faults=3),
    replace(
        TWO_LEADERS,
        name="two jobs, a leader and a stale one's pass, a fault that is no crash",
        faults=1,
        fault_kinds=FAULTS.fault_kinds - CRASH,
    ),
    replace(ALL, name="two jobs, two leaders, three faults, far from the start", depth=9),
    replace(ALL_MADE, name="two jobs, two leaders, three faults, far from where pods are made", depth=7),
    replace(ALL_TRAIN, name="two jobs, two leaders, three faults, far into training", depth=6),
    replace(SPOT, name="managed spot, interrupted twice, a fault", losses=2, faults=1),
    replace(WAIT, name="the longest wait is over, a fault", faults=1),
    replace(PENDING, name="capacity does not come in time, a fault", faults=1),
    replace(LEASE, name="the lease is lost three times", faults=3),
    replace(
        LEASE, name="the lease is lost, a fault of another kind", faults=2, fault_kinds=FAULTS.fault_kinds | {"lease"}
    ),
    replace(LEASE, name="the lease is lost, and a pod", losses=1, jobs=(JobKind("a", retries=1),)),
    replace(ONE_NAME, name="two jobs, one trainingJobName, a fault", faults=1),
    replace(
        ONE_NAME,
        name="two jobs, one trainingJobName, events within a pass of each at once, far from the start",
        workers=2,
        interrupts=True,
        depth=10,
    ),
    replace(GANG_LOSS, name="two hosts, one lost at any time", opening=MADE, loss_kinds=LOSS.loss_kinds),
    GANG_STOP,
    replace(GANG_FAULT, name="two hosts, two crashes", faults=2),
    replace(GANG_FAULT, name="two hosts, a fault of any kind", fault_kinds=FAULTS.fault_kinds),
    replace(GANG_LOSS, name="two hosts, the node of one dies in training", loss_kinds=frozenset({"dead"})),
    replace(LEADERS_LOSS, name="a leader and a stale one's pass, a pod lost", loss_kinds=LOSS.loss_kinds),
    replace(PENDING, name="capacity does not come in time, a stop", users=(STOP,)),
    replace(LEADERS, name="two leaders, a fault", codes=(0,), faults=1),
    replace(LEADERS, name="two leaders, a pod lost", codes=(0,), losses=1),
    replace(LEADERS, name="two leaders, a deletion", codes=(0,), users=(DELETE,)),
    replace(LEADERS, name="a leader and a stale one's pass, a stop", codes=(0,), users=(STOP,), passes=1),
    replace(LEADERS_FAULT, name="a leader and a stale one's pass, three faults", faults=3),
)
