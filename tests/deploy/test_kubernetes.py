"""deploy/kubernetes: valid for Kubernetes and the operator, and wired to the service, the rules and each other."""

import copy
import functools
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from routing import matchers
from tests import parts
from tests.deploy import operator
from webhook import config

ROOT = parts.CHECKOUT
KUBERNETES = ROOT / "deploy" / "kubernetes"
BASES = ("", "alertmanager", "alertmanager-secret")
VERSIONS = ("1.25", "1.37")
"""The oldest and the newest Kubernetes whose schemas the package has."""
OPERATOR_GROUP = "monitoring.coreos.com/"


class _Loader(yaml.SafeLoader):
    """Reads a bare `=` as the text that it is: kubectl writes it so, and YAML 1.1 means something else by it."""


_Loader.add_constructor("tag:yaml.org,2002:value", lambda _, node: node.value)


@functools.cache
def documents(path: Path) -> list[dict[str, Any]]:
    return [read for read in yaml.load_all(path.read_text("utf-8"), Loader=_Loader) if read]


def kustomization(base: str) -> dict[str, Any]:
    (read,) = documents(KUBERNETES / base / "kustomization.yaml")
    return read


def objects(base: str) -> list[dict[str, Any]]:
    return [
        document
        for resource in kustomization(base)["resources"]
        for document in documents(KUBERNETES / base / resource)
    ]


def every_object() -> list[dict[str, Any]]:
    return [document for base in BASES for document in objects(base)]


def the(kind: str, name: str = "phantommesh-alerts") -> dict[str, Any]:
    (found,) = [each for each in every_object() if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def validate(document: dict[str, Any], version: str) -> None:
    """Hold an object against its schema; fields that the schema does not have are faults."""
    if document["apiVersion"].startswith(OPERATOR_GROUP):
        _validate_operators(document)
    else:
        kubernetes_validate.validate(document, version, strict=True)


def _validate_operators(document: dict[str, Any]) -> None:
    (schemas,) = documents(Path(__file__).with_name("operator-schemas.yml"))
    schema = {
        "$defs": schemas["$defs"],
        "type": "object",
        "additionalProperties": False,
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": True,
            "kind": True,
            "metadata": {"$ref": "#/$defs/metadata"},
            "spec": schemas["kinds"][f"{document['apiVersion']} {document['kind']}"],
        },
    }
    jsonschema.validate(document, schema, cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_fits_the_schemas_of_kubernetes_and_of_the_operator(version: str) -> None:
    for document in every_object():
        validate(document, version)


@pytest.mark.parametrize("kind", ["StatefulSet", "AlertmanagerConfig", "ServiceMonitor"])
def test_a_misspelt_field_does_not_fit(kind: str) -> None:
    document = copy.deepcopy(the(kind))
    document["spec"]["replicaz"] = 1
    with pytest.raises(jsonschema.ValidationError):
        validate(document, VERSIONS[-1])


def test_every_file_belongs_to_a_base() -> None:
    named = {
        (KUBERNETES / base / file).resolve()
        for base in BASES
        for file in (*kustomization(base)["resources"], "kustomization.yaml")
    }
    assert set(KUBERNETES.rglob("*.yaml")) == named


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not here: `kubectl kustomize`")
@pytest.mark.parametrize("base", BASES, ids=lambda base: base or "base")
def test_kubectl_renders_the_base_and_the_result_is_valid(base: str, tmp_path: Path) -> None:
    rendered = kubectl_renders(KUBERNETES / base, tmp_path)
    assert len(rendered) >= len(objects(base))
    for document in rendered:
        validate(document, VERSIONS[-1])
        assert document["metadata"]["namespace"] == "monitoring"


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not here: `kubectl kustomize`")
def test_the_readmes_overlay_with_a_routing_file_of_ones_own_is_valid(tmp_path: Path) -> None:
    (overlay,) = re.findall(r"```yaml\n(.*?)```", (KUBERNETES / "README.md").read_text("utf-8"), re.DOTALL)
    folder = tmp_path / "overlay"
    folder.mkdir()
    base = os.path.relpath(KUBERNETES, folder.resolve())
    assert "../phantommesh-alerts/deploy/kubernetes" in overlay
    (folder / "kustomization.yaml").write_text(
        overlay.replace("../phantommesh-alerts/deploy/kubernetes", base), "utf-8"
    )
    (folder / "routing.yml").write_text(config.PACKAGED.read_text("utf-8"), "utf-8")
    rendered = kubectl_renders(folder, tmp_path)
    for document in rendered:
        validate(document, VERSIONS[-1])
    (stateful,) = [document for document in rendered if document["kind"] == "StatefulSet"]
    (only,) = stateful["spec"]["template"]["spec"]["containers"]
    assert only["args"][-1] == "--config=/etc/phantommesh-alerts/routing.yml"


def kubectl_renders(folder: Path, scratch: Path) -> list[dict[str, Any]]:
    done = subprocess.run(
        ["kubectl", "kustomize", folder],
        env={"HOME": str(scratch), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (scratch / "rendered.yaml").write_text(done.stdout, "utf-8")
    return documents(scratch / "rendered.yaml")


def pod() -> dict[str, Any]:
    spec: dict[str, Any] = the("StatefulSet")["spec"]["template"]["spec"]
    return spec


def container() -> dict[str, Any]:
    (only,) = pod()["containers"]
    spec: dict[str, Any] = only
    return spec


def test_the_pod_may_do_nothing_that_it_does_not_need() -> None:
    assert pod()["automountServiceAccountToken"] is False
    everyone = pod()["securityContext"]
    assert everyone["runAsNonRoot"] is True
    assert everyone["runAsUser"] > 0
    assert everyone["fsGroup"] == everyone["runAsGroup"]
    assert everyone["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_probes_ask_whether_it_runs_and_only_readiness_asks_for_the_store() -> None:
    paths = {
        probe: container()[probe]["httpGet"]["path"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert paths == {
        "startupProbe": "/-/healthy",
        "livenessProbe": "/-/healthy",
        "readinessProbe": "/-/ready",
    }


def test_alertmanager_posts_to_a_service_that_leads_to_a_pod_that_is_not_ready() -> None:
    intake = the("Service", "phantommesh-alerts-intake")
    assert intake["spec"]["publishNotReadyAddresses"] is True
    assert operator.URL == "http://phantommesh-alerts-intake:9095/webhook/alertmanager"
    assert [port["port"] for port in intake["spec"]["ports"]] == [9095]
    assert "publishNotReadyAddresses" not in the("Service")["spec"]


def test_services_policy_and_claims_select_the_pod() -> None:
    labels = the("StatefulSet")["spec"]["template"]["metadata"]["labels"].items()
    selectors = [
        the("Service")["spec"]["selector"],
        the("Service", "phantommesh-alerts-intake")["spec"]["selector"],
        the("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        the("StatefulSet")["spec"]["selector"]["matchLabels"],
    ]
    assert all(selector.items() <= labels for selector in selectors)
    volumes = {volume["name"] for volume in pod()["volumes"]}
    claims = {claim["metadata"]["name"] for claim in the("StatefulSet")["spec"]["volumeClaimTemplates"]}
    assert {mount["name"] for mount in container()["volumeMounts"]} == volumes | claims


def test_the_pod_is_scraped_once_under_the_job_that_the_rules_read() -> None:
    monitor = the("ServiceMonitor")["spec"]
    selected = [
        service
        for service in every_object()
        if service["kind"] == "Service"
        and monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    ]
    assert [service["metadata"]["labels"][monitor["jobLabel"]] for service in selected] == [
        "phantommesh-alerts"
    ]
    assert [service["metadata"]["name"] for service in selected] == ["phantommesh-alerts-intake"]
    assert [endpoint["interval"] for endpoint in monitor["endpoints"]] == ["15s"]


def test_secrets_come_by_file_from_one_secret_and_the_service_accepts_the_settings(tmp_path: Path) -> None:
    environ = dict(
        line.split("=", 1)
        for line in (KUBERNETES / "settings.env").read_text("utf-8").splitlines()
        if not line.startswith("#")
    )
    mounted = {mount["name"]: mount["mountPath"] for mount in container()["volumeMounts"]}["secrets"]
    for variable in container()["env"]:
        assert variable["name"].endswith("_FILE")
        key = Path(variable["value"]).relative_to(mounted)
        is_address = "slack" in str(key)
        (tmp_path / key).write_text("https://hooks.slack.com/services/T/B/x\n" if is_address else "a" * 32)
        environ[variable["name"]] = str(tmp_path / key)
    settings = config.load(environ=environ)
    assert settings.live_paging_destinations == ("pagerduty",)
    assert settings.webhook_token is not None
    assert not any(destination.dry for destination in settings.destinations.values())
    assert len(settings.alertmanager_urls) == the("Alertmanager", "phantommesh")["spec"]["replicas"] == 2


def test_the_secrets_that_alertmanager_needs_are_keys_of_the_same_secret() -> None:
    keys = {Path(variable["value"]).name for variable in container()["env"]}
    (volume,) = [volume for volume in pod()["volumes"] if volume["name"] == "secrets"]
    assert volume["secret"]["secretName"] == operator.SECRET
    assert {operator.TOKEN, operator.ROUTING_KEY} <= keys


def test_no_namespace_is_demanded_of_an_alert() -> None:
    spec = the("Alertmanager", "phantommesh")["spec"]
    assert spec["alertmanagerConfiguration"] == {"name": the("AlertmanagerConfig")["metadata"]["name"]}
    assert spec["alertmanagerConfigMatcherStrategy"] == {"type": "None"}


def test_the_operators_configuration_says_what_alertmanagers_own_file_says() -> None:
    (read,) = documents(ROOT / "deploy" / "alertmanager.yml")
    spec = the("AlertmanagerConfig")["spec"]
    assert _routes(spec["route"]) == _routes_of_file(read["route"])
    assert [receiver["name"] for receiver in spec["receivers"]] == [
        receiver["name"] for receiver in read["receivers"]
    ]
    assert [(_texts(rule["sourceMatch"]), rule["equal"]) for rule in spec["inhibitRules"]] == [
        (sorted(rule["source_matchers"]), rule["equal"]) for rule in read["inhibit_rules"]
    ]


def _routes(route: dict[str, Any]) -> list[object]:
    own = (
        _texts(route.get("matchers", [])),
        *(
            route.get(name)
            for name in ("receiver", "groupBy", "groupWait", "groupInterval", "repeatInterval")
        ),
    )
    return [own, *(each for child in route.get("routes", []) for each in _routes(child))]


def _routes_of_file(route: dict[str, Any]) -> list[object]:
    names = ("receiver", "group_by", "group_wait", "group_interval", "repeat_interval")
    own = (sorted(route.get("matchers", [])), *(route.get(name) for name in names))
    return [own, *(each for child in route.get("routes", []) for each in _routes_of_file(child))]


def _texts(translated: list[dict[str, str]]) -> list[str]:
    texts = sorted(f'{each["name"]}{each["matchType"]}"{each["value"]}"' for each in translated)
    assert all(matchers.parse(text) for text in texts)
    return texts


@pytest.mark.real
@pytest.mark.parametrize("generation", parts.GENERATIONS)
def test_alertmanager_loads_the_plain_file(generation: str, tmp_path: Path) -> None:
    here = parts.generation(generation)
    if here is None:
        pytest.skip(f"the {generation} generation is not here: `./dev parts` brings it")
    file = tmp_path / "alertmanager.yml"
    file.write_text(the("Secret", "phantommesh-alertmanager")["stringData"]["alertmanager.yaml"], "utf-8")
    done = subprocess.run(
        [here.amtool, "check-config", file], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("group_wait: 5s", "group_wait: 5s\n  mute_time_intervals: [night]"),
        ('alertname="Watchdog"', "alertname='Watchdog'"),
        ("http://localhost:9095/webhook/alertmanager", "http://localhost:9095/elsewhere"),
    ],
    ids=["field", "matcher", "address"],
)
def test_what_cannot_be_translated_is_an_error_and_not_left_out(
    was: str, becomes: str, tmp_path: Path
) -> None:
    changed = tmp_path / "alertmanager.yml"
    text = (ROOT / "deploy" / "alertmanager.yml").read_text("utf-8")
    assert was in text
    changed.write_text(text.replace(was, becomes, 1), "utf-8")
    with pytest.raises(ValueError, match=r"translat|and not once"):
        (operator.alertmanager_config(changed), operator.secret(changed))
