"""Let Optuna choose the designs of a space.

    python docs/examples/optuna_explore.py SPACE.toml DIR TRIALS [PROGRAM]

The space says method = "ask". The program writes one line of JSON that describes it, and then one
for each design that it is asked for; see docs/spaces/README.md.
"""

import json
import subprocess
import sys

import optuna


def suggest(trial, parameter):
    path = parameter["path"]
    if "choices" in parameter:
        return trial.suggest_categorical(path, parameter["choices"])
    low, high, step = parameter["from"], parameter["to"], parameter["multiple_of"]
    if step is not None and not parameter["log"]:
        return trial.suggest_float(path, low, high, step=step)
    return trial.suggest_float(path, low, high, log=parameter["log"])


def main(space, folder, trials, program="lumacycle"):
    child = subprocess.Popen(
        [program, "explore", space, "--out", folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    described = json.loads(child.stdout.readline())
    goals = ["minimize" if o["goal"] == "minimise" else "maximize" for o in described["objectives"]]
    study = optuna.create_study(directions=goals, sampler=optuna.samplers.TPESampler(seed=1))
    for _ in range(int(trials)):
        trial = study.ask()
        design = {p["path"]: suggest(trial, p) for p in described["parameters"]}
        child.stdin.write(json.dumps({"id": trial.number, "parameters": design}) + "\n")
        child.stdin.flush()
        answer = json.loads(child.stdout.readline())
        if answer.get("status") == "ok" and answer["feasible"]:
            study.tell(trial, answer["objectives"])
        else:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
    child.stdin.close()
    print(child.stdout.read())
    child.wait()
    print(f"Optuna's front has {len(study.best_trials)} designs")
    return child.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
