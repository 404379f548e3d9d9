"""Actions as requests. Creates are plain: 409 means look whose it is. What was made is noted at once, not when the watch tells."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator

from trainyard.api import names
from trainyard.controller.adapters.cache import Key
from trainyard.controller.adapters.cluster import CONFIG_MAPS, PODS, SERVICES, Cluster, Raw, Resource
from trainyard.controller.adapters.errors import ClusterError, Conflict, NotFound, Refused, Throttled
from trainyard.controller.adapters.sidecars import Sidecars
from trainyard.controller.app.state import JOBS, State
from trainyard.controller.core import children, naming, read
from trainyard.controller.core.actions import Actions, Annotate
from trainyard.controller.core.job import Job
from trainyard.controller.core.observed import Pod

_log = logging.getLogger(__name__)
_RESOURCES: dict[str, Resource] = {"ConfigMap": CONFIG_MAPS, "Service": SERVICES, "Pod": PODS}
_LARGEST_BATCH = 32


class NotOurs(Exception):  # noqa: N818 - a fact, not a fault
    """The apiserver will not make a child: refused, or an object of that name belongs to somebody else."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Applier:
    def __init__(
        self, state: State, cluster: Cluster, sidecars: Sidecars, changed: Callable[[Key], object] = lambda _: None
    ) -> None:
        """`changed` is told of jobs that need wait no longer."""
        self._state = state
        self._cluster = cluster
        self._sidecars = sidecars
        self._changed = changed

    async def apply(self, job: Job, actions: Actions) -> None:
        """Raises NotOurs if a child cannot be made, ClusterError for what may go better later. No order waits for it."""
        try:
            await self._own(job, actions)
        except ClusterError:
            await self.order(actions)
            raise
        await self.order(actions)

    async def _own(self, job: Job, actions: Actions) -> None:
        """What the job has, and what is left of it."""
        # First of all: what is left of an earlier attempt may be what a quota has no room beside.
        for name, uid in actions.plans:
            await self.delete_plan(job.namespace, name, uid)
        if actions.plan is not None:
            plan = await self._make(job, actions.plan)
            if actions.service is not None:
                await self._make(job, children.owned(actions.service, plan))
            await self._make_pods(job, [children.owned(pod, plan) for pod in actions.pods])
        if actions.adopt:
            await self._adopt_plan(job)
        if actions.expired:
            await self._expire(job, remove=actions.remove)

    async def order(self, actions: Actions) -> None:
        """The annotations and deletions alone, which need no job."""
        tasks = [self._annotate(order) for order in actions.annotate] + [self._delete(pod) for pod in actions.delete]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _make_pods(self, job: Job, manifests: list[Raw]) -> None:
        """1, 2, 4 ... at a time: a refusal of all costs one request, not a thousand."""
        size = 1
        while manifests:
            batch, manifests = manifests[:size], manifests[size:]
            if not self._state.may_begin(job):
                raise Conflict(f"TrainingJob {job.name} may no longer have the pods that were decided upon")
            # Nothing may be waited for before this: from here on others see that it begins.
            for manifest in batch:
                self._state.asked.add(job, manifest["metadata"]["name"])
            made = await asyncio.gather(*(self._make(job, manifest) for manifest in batch), return_exceptions=True)
            for manifest, result in zip(batch, made, strict=True):
                if isinstance(result, NotOurs):
                    self._settle(job, manifest["metadata"]["name"], None)
                elif not isinstance(result, BaseException):
                    self._settle(job, manifest["metadata"]["name"], result)
            for result in made:
                if isinstance(result, BaseException):
                    raise result
            size = min(size * 2, _LARGEST_BATCH)

    async def look_for_asked(self, key: Key) -> None:
        """Are the pods there whose creation was not answered? Another's of that name is none of our business."""
        asked = self._state.asked.by(key)
        answers = await asyncio.gather(
            *(self._cluster.find(PODS, job.namespace, pod) for job, pod in asked), return_exceptions=True
        )
        for (job, pod), raw in zip(asked, answers, strict=True):
            if not isinstance(raw, BaseException):
                ours = read.texts(raw, "metadata", "labels").get(names.LABEL_JOB_UID) == job.uid
                self._settle(job, pod, raw if ours else None)
        for raw in answers:
            if isinstance(raw, BaseException):
                raise raw

    def _settle(self, job: Job, pod: str, raw: Raw | None) -> None:
        """It is known what became of that pod. If there is none, whoever waited for just that may go on."""
        if raw is not None:
            self._state.seen("pods", raw)
        self._state.asked.settle(job, pod)
        if raw is None:
            for key in self._state.waiting_for(job.namespace, job.training_job_name) - {(job.namespace, job.name)}:
                self._changed(key)

    async def _make(self, job: Job, manifest: Raw) -> Raw:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        with _naming(f"{kind} {name} cannot be made"):
            try:
                return await self._cluster.create(_RESOURCES[kind], manifest)
            except Conflict as conflict:
                return await self._look(job, manifest, conflict)
            except Refused as refused:
                raise NotOurs(explain_refusal(kind, name, refused)) from refused
            except NotFound as gone:
                raise NotOurs(f"{kind} {name} cannot be made: {gone.message}") from gone

    async def _adopt_plan(self, job: Job) -> None:
        """From now on the plan, and with it pods and Service, goes with the job."""
        name = naming.config_map_name(job.name, job.attempt)
        patch: Raw = {"metadata": {"ownerReferences": [children.owner_reference(job)]}}
        if uid := next((pod.plan_uid for pod in self._state.pods_of(job).values() if pod.plan_uid), ""):
            patch["metadata"]["uid"] = uid  # and not somebody else's that has its name by now
        try:
            with _naming(f"ConfigMap {name} cannot be given to its job"):
                await self._cluster.merge(CONFIG_MAPS, job.namespace, name, patch)
        except NotFound:
            _log.debug("plan %s is no longer there to be adopted", name)
        except Conflict:
            found = await self._cluster.find(CONFIG_MAPS, job.namespace, name)
            if found is not None and uid in ("", read.text(read.mapping(found, "metadata"), "uid")):
                raise

    async def _expire(self, job: Job, *, remove: bool) -> None:
        """The plan takes pods and Service with it; the job, if it is to go too, takes the plan."""
        if remove:
            await self._cluster.delete(JOBS, job.namespace, job.name, job.uid)
            return
        name = naming.config_map_name(job.name, job.attempt)
        found = await self._cluster.find(CONFIG_MAPS, job.namespace, name)
        if found is not None and read.texts(found, "metadata", "labels").get(names.LABEL_JOB_UID) == job.uid:
            await self.delete_plan(job.namespace, name, read.text(read.mapping(found, "metadata"), "uid"))

    async def _look(self, job: Job, manifest: Raw, conflict: Conflict) -> Raw:
        """There is one of that name: made by an earlier pass whose answer was lost, or not ours."""
        kind, metadata = manifest["kind"], manifest["metadata"]
        found = await self._cluster.find(_RESOURCES[kind], metadata["namespace"], metadata["name"])
        if found is None:
            raise Throttled(f"{kind} {metadata['name']} was there and is gone: {conflict.message}")
        owner = read.texts(found, "metadata", "labels").get(names.LABEL_JOB_UID)
        if kind == "Service" and owner == job.uid and _owners(found) != _owners(manifest):
            raise Throttled(
                f"Service {metadata['name']} goes with the plan that it was made for, and is then made again"
            )
        if kind == "ConfigMap" and owner == job.uid:
            await self._check_currency(job)
        if owner == job.uid and (kind != "ConfigMap" or found.get("data") == manifest["data"]):
            return found
        if kind == "ConfigMap" and await self._is_stale(job, found):
            # An immutable plan that nobody uses: of an earlier try, or left by a job that is no more.
            uid = read.text(read.mapping(found, "metadata"), "uid")
            await self._cluster.delete(CONFIG_MAPS, job.namespace, metadata["name"], uid)
            return await self._cluster.create(CONFIG_MAPS, manifest)
        if owner == job.uid:
            return found
        raise NotOurs(
            f"{kind} {metadata['name']} exists and is not this job's; it is waited for. Delete it if nothing else will, or"
            " create the job under another name"
        )

    async def _check_currency(self, job: Job) -> None:
        """The plan was there: we died before we could record its pods, or somebody who leads as well is further than we
        know, and pods made from our old copy of the job could be second ones. Only the apiserver can tell."""
        raw = await self._cluster.find(JOBS, job.namespace, job.name)
        metadata = read.mapping(raw, "metadata")
        uid = read.text(metadata, "uid")
        if (uid, read.text(metadata, "resourceVersion")) == (job.uid, job.resource_version):
            return
        if raw is not None:
            self._state.seen("jobs", raw)
        if uid != job.uid:
            self._state.gone("jobs", (job.namespace, job.name), job.uid)
        raise Conflict(f"TrainingJob {job.name} is no longer as it was when its pods were decided upon")

    async def _is_stale(self, job: Job, plan: Raw) -> bool:
        """No pod was made from this plan, and its job is this one or is no more. Only the apiserver can say so."""
        labels = read.texts(plan, "metadata", "labels")
        uid, name = labels.get(names.LABEL_JOB_UID), labels.get(names.LABEL_JOB_NAME)
        if not uid or not name or labels.get(names.LABEL_MANAGED_BY) != names.FIELD_MANAGER:
            return False
        if uid != job.uid:
            raw = await self._cluster.find(JOBS, job.namespace, name)
            if raw is not None and read.text(read.mapping(raw, "metadata"), "uid") == uid:
                return False
        attempt = labels.get(names.LABEL_ATTEMPT, "")
        selector = f"{names.LABEL_JOB_UID}={uid},{names.LABEL_ATTEMPT}={attempt}"
        async for _ in self._cluster.list(PODS, job.namespace, selector, metadata_only=True):
            return False
        return True

    async def _annotate(self, order: Annotate) -> None:
        """By a call where there is one, which is sooner and costs the apiserver nothing; else by patch."""
        pod = order.pod
        if order.post is not None and pod.ip:
            token, word = names.agent_token(pod.job_uid, pod.attempt), order.post.to_json()
            if await self._sidecars.call("POST", pod.ip, names.PATH_TRAINING_ENDED, token, word) is not None:
                self._state.told(pod, word)
                return
        patch = {"metadata": {"uid": pod.uid, "annotations": order.annotations}}
        try:
            with _naming(f"pod {pod.name} cannot be told to {'upload' if order.post is not None else 'end'}"):
                self._state.answered("pods", await self._cluster.merge(PODS, pod.namespace, pod.name, patch))
        except NotFound:
            _log.debug("pod %s is no longer there to be annotated", pod.name)
        except Conflict:
            if not await self._is_another(pod):
                raise

    async def delete_plan(self, namespace: str, name: str, uid: str) -> None:
        """And with it all that it owns."""
        with contextlib.suppress(Conflict), _naming(f"ConfigMap {name} cannot be deleted"):
            await self._cluster.delete(CONFIG_MAPS, namespace, name, uid)

    async def _delete(self, pod: Pod) -> None:
        try:
            with _naming(f"pod {pod.name} cannot be deleted"):
                await self._cluster.delete(PODS, pod.namespace, pod.name, pod.uid)
        except Conflict:
            if not await self._is_another(pod):
                raise

    async def _is_another(self, pod: Pod) -> bool:
        """The pod has gone, or another one has its name by now: the watch tells."""
        raw = await self._cluster.find(PODS, pod.namespace, pod.name)
        if raw is None or read.text(read.mapping(raw, "metadata"), "uid") != pod.uid:
            return True
        self._state.seen("pods", raw)
        return False


@contextlib.contextmanager
def _naming(what: str) -> Iterator[None]:
    """A webhook's or a policy's words do not always say what they are about."""
    try:
        yield
    except ClusterError as error:
        raise type(error)(f"{what}: {error.message}", error.status, error.reason) from error


def _owners(raw: Raw) -> list[str]:
    return [read.text(owner, "uid") for owner in read.items(raw, "metadata", "ownerReferences")]


def explain_refusal(kind: str, name: str, refused: ClusterError) -> str:
    """The apiserver's words, and which setting to change."""
    told = refused.message.strip()
    if "violates PodSecurity" in told:
        advice = (
            "set securityMode: restricted in the ExecutionRole if the image can run as a non-root user, or relax the namespace's label"
            " pod-security.kubernetes.io/enforce"
            if '"restricted' in told
            else "relax the namespace's label pod-security.kubernetes.io/enforce"
        )
    elif "exceeded quota" in told:
        advice = "it is tried again every minute; free some of the quota, or ask for a smaller instance"
    elif "being terminated" in told:
        advice = "the namespace is being deleted"
    else:
        advice = "it is tried again every minute"
    return f"{kind} {name} is refused: {told} ({advice})"
