//! What explored spaces have to do with other programs: shards that are joined, optimisers that ask by
//! JSON lines, and clusters that run parts of a space.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use lumacycle_sim::explore::bench::{Bench, Job};
use lumacycle_sim::explore::space::{Domain, Goal, Method, Setting, Space};
use lumacycle_sim::explore::{Row, Run, Shard, header, metrics, store, summary};
use serde::Deserialize;
use serde_json::{Value, json};

use super::explore::{failed, finish};
use crate::args::{Dispatch, ExploreArgs};
use crate::failure::Failure;
use crate::output;

/// Joins shards and checks that they are whole.
pub fn merge(
    space: &Space,
    out: &Path,
    from: &[PathBuf],
    report: Option<(&Path, &str)>,
) -> Result<(), Failure> {
    let mut folders = vec![out.to_owned()];
    folders.extend(from.iter().cloned());
    let mut shards: Vec<(PathBuf, Shard)> = Vec::new();
    for folder in &folders {
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            // The folder for the results may not be there yet.
            Err(_) if folder == out => continue,
            Err(error) => {
                return Err(Failure::Input { path: folder.clone(), reason: error.to_string() });
            }
        };
        let names = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut names: Vec<PathBuf> = names
            .filter(|path| {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                name.starts_with("shard-") && name.ends_with(".records")
            })
            .collect();
        names.sort();
        for path in names {
            let found = store::read(&path, |_, _| ()).map_err(|error| failed(&error))?;
            let Some((head, _)) = found else { continue };
            let shard = Shard { part: head.shard[0], of: head.shard[1] };
            if head != header(space, shard) {
                return Err(Failure::usage(
                    format!("{} belongs to another space or version", path.display()),
                    "merge shards of one space, made by one version",
                ));
            }
            shards.push((path, shard));
        }
    }
    let Some(of) = shards.first().map(|(_, shard)| shard.of) else {
        return Err(Failure::usage(
            format!("no shards of \"{}\" in {}", space.name, out.display()),
            "run `lumacycle explore SPACE --out DIR --shard I/N` for each part first",
        ));
    };
    if let Some((path, _)) = shards.iter().find(|(_, shard)| shard.of != of) {
        return Err(Failure::usage(
            format!("{} is of another division than {of} parts", path.display()),
            "merge shards of one division",
        ));
    }
    let mut run = Run::open(space, out, Shard::ALL, false).map_err(|error| failed(&error))?;
    for (path, shard) in &shards {
        let mut result = Ok(());
        store::read(path, |record, _| {
            if result.is_ok() && shard.has(record.point) {
                result = run.adopt(&record);
            }
        })
        .map_err(|error| failed(&error))?;
        result.map_err(|error| failed(&error))?;
    }
    let missing: Vec<u64> = {
        let rows = run.rows();
        let mut known = rows.iter().map(|row| row.point).peekable();
        (0..space.points).filter(|point| known.next_if_eq(point).is_none()).collect()
    };
    if !missing.is_empty() {
        let mut parts: Vec<u64> = missing.iter().map(|point| point % of + 1).collect();
        parts.sort_unstable();
        parts.dedup();
        let parts: Vec<String> = parts.iter().map(|part| format!("{part}/{of}")).collect();
        return Err(Failure::Unfinished {
            what: format!(
                "{} of {} points are missing; run these shards (again): {}",
                missing.len(),
                space.points,
                parts.join(", ")
            ),
        });
    }
    finish(space, &run, out, report)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    id: Value,
    parameters: BTreeMap<String, Value>,
}

/// Answers an optimiser: a line of JSON for each that it writes, the first one describing the space.
pub fn answer(space: &Space, run: &mut Run<'_>) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    let mut tell = |value: &Value| {
        let told = writeln!(out, "{value}").and_then(|()| out.flush());
        told.map_err(|_| Failure::ClosedPipe)
    };
    tell(&described(space))?;
    let mut known: BTreeMap<String, u64> =
        run.rows().iter().map(|row| (format!("{:?}", row.design), row.point)).collect();
    let mut bench = Bench::new(space);
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        if line.trim().is_empty() {
            continue;
        }
        let (id, design) = match understood(space, &line) {
            Ok(asked) => asked,
            Err(error) => {
                tell(&json!({"error": error}))?;
                continue;
            }
        };
        let key = format!("{:?}", design.clone().into_boxed_slice());
        let point = match known.get(&key) {
            Some(point) => *point,
            None if run.done() >= space.points => {
                tell(
                    &json!({"id": id, "error": format!("the budget of {} points is used up", space.points)}),
                )?;
                continue;
            }
            None => {
                let point = run.done();
                let job = Job { point, design };
                run.evaluate(&mut bench, vec![job], &|_| ()).map_err(|error| failed(&error))?;
                known.insert(key, point);
                point
            }
        };
        let rows = run.rows();
        let Some(row) = rows.iter().find(|row| row.point == point) else { continue };
        tell(&answered(space, &id, row))?;
    }
    Ok(())
}

fn described(space: &Space) -> Value {
    let parameters = space.parameters.iter().map(|parameter| match &parameter.domain {
        Domain::Listed(choices) => json!({"path": parameter.path,
            "choices": choices.iter().map(|choice| choice.label.clone()).collect::<Vec<_>>()}),
        Domain::Range { from, to, unit, log, multiple, .. } => json!({"path": parameter.path,
            "from": from, "to": to, "unit": unit, "log": log, "multiple_of": multiple}),
    });
    let objectives = space.objectives.iter().map(|objective| {
        let goal = if objective.goal == Goal::Minimise { "minimise" } else { "maximise" };
        json!({"metric": metrics::NAMES[objective.metric], "goal": goal})
    });
    json!({"space": space.name, "points": space.points,
        "parameters": parameters.collect::<Vec<_>>(), "objectives": objectives.collect::<Vec<_>>()})
}

fn understood(space: &Space, line: &str) -> Result<(Value, Vec<Setting>), String> {
    let asked: Asked = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let known = |path: &String| space.parameters.iter().any(|p| p.path == *path);
    if let Some(other) = asked.parameters.keys().find(|path| !known(path)) {
        return Err(format!("\"{other}\" is no parameter of this space"));
    }
    let mut design = Vec::with_capacity(space.parameters.len());
    for parameter in &space.parameters {
        let path = &parameter.path;
        let Some(value) = asked.parameters.get(path) else {
            return Err(format!("\"{path}\" has no value"));
        };
        let setting = match (&parameter.domain, value) {
            (Domain::Listed(choices), value) => {
                let label = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                choices.iter().position(|choice| choice.label == label).map(Setting::Choice)
            }
            (Domain::Range { from, to, .. }, value) => value
                .as_f64()
                .filter(|number| (*from..=*to).contains(number))
                .map(|number| Setting::Number(parameter.domain.rounded(number))),
        };
        design.push(setting.ok_or_else(|| format!("\"{path}\" cannot be {value}"))?);
    }
    Ok((asked.id, design))
}

fn answered(space: &Space, id: &Value, row: &Row) -> Value {
    let number = |value: f64| if value.is_nan() { Value::Null } else { json!(value) };
    let all = metrics::NAMES.iter().zip(&row.metrics);
    let all: serde_json::Map<String, Value> =
        all.map(|(name, value)| ((*name).to_owned(), number(*value))).collect();
    let objectives: Vec<Value> =
        space.objectives.iter().map(|o| number(row.metrics[o.metric])).collect();
    json!({"id": id, "point": row.point, "status": row.status.name(),
        "feasible": summary::feasible(space, row), "objectives": objectives, "metrics": all})
}

/// Text as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Writes the scripts of a cluster's jobs and submits them.
pub fn dispatch(
    engine: Dispatch,
    args: &ExploreArgs,
    path: &Path,
    space: &Space,
    folder: &Path,
) -> Result<(), Failure> {
    let Dispatch::Slurm = engine;
    if matches!(space.method, Method::Nsga2 | Method::Ask) {
        return Err(Failure::usage(
            "a search that learns from its results cannot be cut into parts",
            "use grid, random, sobol or oat",
        ));
    }
    output::folder(folder)?;
    let whole = |path: &Path| {
        path.canonicalize()
            .map_err(|error| Failure::Input { path: path.to_owned(), reason: error.to_string() })
    };
    let folder = whole(folder)?;
    let text = super::description(path)?;
    let copy = folder.join("space.toml");
    output::write(Some(&copy), text.as_bytes())?;
    let program = std::env::current_exe().map_err(|e| Failure::Internal { what: e.to_string() })?;
    let of = args.tasks.min(space.points);
    let word = |path: &Path| quoted(&path.display().to_string());
    let (program, space_word, out) = (word(&program), word(&copy), word(&folder));
    let name = &space.name;
    let parts = format!(
        "#!/bin/sh\n#SBATCH --job-name={name}\n#SBATCH --array=1-{of}\n#SBATCH --requeue\n\
         #SBATCH --open-mode=append\n#SBATCH --output=part-%a.log\n\
         # Each part goes on where it was when it is run again.\n\
         export RAYON_NUM_THREADS=\"${{SLURM_CPUS_PER_TASK:-1}}\"\n\
         exec {program} explore {space_word} --out {out} --shard \"$SLURM_ARRAY_TASK_ID/{of}\"\n"
    );
    let join = format!(
        "#!/bin/sh\n#SBATCH --job-name={name}-merge\n#SBATCH --output=merge.log\n\
         exec {program} explore merge {space_word} --out {out}\n"
    );
    let (array, merge) = (folder.join("parts.sbatch"), folder.join("merge.sbatch"));
    output::write(Some(&array), parts.as_bytes())?;
    output::write(Some(&merge), join.as_bytes())?;
    if args.no_submit {
        let [array, merge] = [&array, &merge].map(|path| path.display().to_string());
        output::say(&format!("wrote {array} and {merge}; nothing was submitted"));
        return Ok(());
    }
    let submit = |arguments: &[&str], script: &Path| -> Result<String, Failure> {
        let mut command = std::process::Command::new("sbatch");
        command.arg("--parsable").arg("--chdir").arg(&folder).args(arguments).arg(script);
        let answer = command.output().map_err(|error| Failure::Kept {
            what: format!("sbatch does not run: {error}"),
            help: "run this where Slurm's commands are, or use --no-submit and submit by hand"
                .to_owned(),
        })?;
        if !answer.status.success() {
            return Err(Failure::Kept {
                what: format!("sbatch refuses: {}", String::from_utf8_lossy(&answer.stderr).trim()),
                help: "the scripts are written; change them and submit by hand".to_owned(),
            });
        }
        let id = String::from_utf8_lossy(&answer.stdout);
        Ok(id.trim().split(';').next().unwrap_or_default().to_owned())
    };
    let first = submit(&[], &array)?;
    let dependency = format!("--dependency=afterok:{first}");
    let second = submit(&[&dependency, "--kill-on-invalid-dep=yes"], &merge)?;
    output::say(&format!(
        "submitted {of} parts as job {first}, the merge as job {second}; results will be in {}",
        folder.display()
    ));
    output::write(None, format!("{first} {second}\n").as_bytes())
}
