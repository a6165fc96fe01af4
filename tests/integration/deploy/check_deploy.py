"""Checks the Dockerfile and the Kubernetes manifests offline, with the tools their users have.

hadolint for the Dockerfile; `kubectl kustomize` to render the base; kubernetes-validate (strict: unknown fields fail)
for every built-in kind; a hand-written strict key check for PodMonitor, whose schema is a CRD; and the cross-file
facts no schema sees: selectors match, ports exist, the config that is mounted parses as the server's own.
Usage: check_deploy.py SOURCE_DIR VENV_BIN
"""

import pathlib
import subprocess
import sys

import kubernetes_validate
import yaml

POD_MONITOR_KEYS = {"selector", "podMetricsEndpoints", "namespaceSelector", "jobLabel"}
ENDPOINT_KEYS = {"port", "path", "interval", "scrapeTimeout", "honorLabels", "scheme"}
K8S_VERSION = "1.34"
failures = []


def check(condition, message):
    if not condition:
        failures.append(message)


def run(*command):
    return subprocess.run(command, capture_output=True, text=True)


def validate_object(obj):
    name = f'{obj["kind"]}/{obj["metadata"]["name"]}'
    if obj["kind"] == "PodMonitor":
        check(set(obj["spec"]) <= POD_MONITOR_KEYS, f"{name}: unknown keys {set(obj['spec']) - POD_MONITOR_KEYS}")
        for endpoint in obj["spec"]["podMetricsEndpoints"]:
            check(set(endpoint) <= ENDPOINT_KEYS, f"{name}: unknown endpoint keys {set(endpoint) - ENDPOINT_KEYS}")
        return
    try:
        kubernetes_validate.validate(obj, K8S_VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        failures.append(f"{name}: {error.message} at {'.'.join(map(str, error.path))}")


def check_cross_facts(objects):
    by_kind = {obj["kind"]: obj for obj in objects}
    deployment = by_kind["Deployment"]["spec"]
    pod = deployment["template"]
    labels = pod["metadata"]["labels"]
    container = pod["spec"]["containers"][0]
    ports = {port["name"] for port in container["ports"]}
    selectors = {
        "Deployment": deployment["selector"]["matchLabels"],
        "Service": by_kind["Service"]["spec"]["selector"],
        "PodDisruptionBudget": by_kind["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        "PodMonitor": by_kind["PodMonitor"]["spec"]["selector"]["matchLabels"],
        "NetworkPolicy": by_kind["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
    }
    for kind, selector in selectors.items():
        check(selector and selector.items() <= labels.items(), f"{kind}: selector {selector} does not match {labels}")
    for port in by_kind["Service"]["spec"]["ports"]:
        check(port["targetPort"] in ports, f"Service: target port {port['targetPort']} is not one of {ports}")
    check(by_kind["PodMonitor"]["spec"]["podMetricsEndpoints"][0]["port"] in ports, "PodMonitor: unknown port")
    check("replicas" not in deployment, "Deployment: replicas fights the HPA")
    check(container["securityContext"]["readOnlyRootFilesystem"], "container root file system is writable")
    check(pod["spec"]["securityContext"]["runAsNonRoot"], "pod may run as root")
    grace = pod["spec"]["terminationGracePeriodSeconds"]
    pre_stop = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    config_map = next(o for o in objects if o["kind"] == "ConfigMap")
    config = yaml.safe_load(config_map["data"]["bitrate.yaml"])
    drain = config["drain_timeout_seconds"]
    check(grace >= pre_stop + drain, f"grace {grace}s is less than preStop {pre_stop}s + drain {drain}s")
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        check("grpc" in container[probe], f"{probe} is not a gRPC probe")


def main(source, venv_bin):
    source = pathlib.Path(source)
    lint = run(f"{venv_bin}/hadolint", str(source / "Dockerfile"))
    check(lint.returncode == 0, f"hadolint:\n{lint.stdout}{lint.stderr}")
    rendered = run(f"{venv_bin}/kubectl", "kustomize", str(source / "deploy/kubernetes/base"))
    check(rendered.returncode == 0, f"kubectl kustomize: {rendered.stderr}")
    objects = [obj for obj in yaml.safe_load_all(rendered.stdout) if obj]
    kinds = {obj["kind"] for obj in objects}
    wanted = {"Deployment", "Service", "ConfigMap", "PodDisruptionBudget", "HorizontalPodAutoscaler", "PodMonitor"}
    check(wanted <= kinds, f"missing kinds {wanted - kinds}")
    for obj in objects:
        validate_object(obj)
    if wanted <= kinds:
        check_cross_facts(objects)
    # The validator must be able to fail: an unknown field in a copy is caught.
    before = len(failures)
    broken = yaml.safe_load(yaml.safe_dump(next(o for o in objects if o["kind"] == "Deployment")))
    broken["spec"]["template"]["spec"]["containers"][0]["livenessProb"] = {}
    validate_object(broken)
    check(len(failures) > before, "a misspelled probe passed the validator")
    del failures[before : before + 1]

    for failure in failures:
        print("FAIL", failure)
    print(f"checked {len(objects)} objects, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
