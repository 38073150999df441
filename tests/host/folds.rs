//! A cross-validation as a cohort: folds are cases of `host-demo batch`, and one report is made of them.

use crate::scripts::root;
use crate::util::Host;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;

/// Pairs of four people, one of them with two eyes; phantoms, the small model.
fn pairs(host: &Host) {
    let mut table = "image,labels,subject\n".to_owned();
    for (eye, subject) in [(0, "p1"), (1, "p2"), (2, "p3"), (3, "p4"), (4, "p1")] {
        let seed = eye.to_string();
        let (image, labels) = (format!("eye{eye}.nii.gz"), format!("eye{eye}_truth.nii.gz"));
        let sizes = ["--size", "64", "--slices", "3", "--seed", &seed];
        host.run(&[&["phantom", "--out", &image, "--labels", &labels], &sizes[..]].concat()).ok();
        table += &format!("{image},{labels},{subject}\n");
    }
    host.file("pairs.csv", table);
    host.file("folds.csv", "case,volume,fold\nfold0,pairs.csv,0\nfold1,pairs.csv,1\nfold2,pairs.csv,2\n");
}

#[test]
fn folds_are_array_tasks_and_become_one_report() {
    let host = Host::new();
    pairs(&host);
    let scripts = root().join("scripts");
    let script = |name: &str| scripts.join(name).display().to_string();
    let parity = root().join("tests/data/parity");
    let (model, config) = (parity.join("mini21.pt"), parity.join("mini21.yaml"));
    let sets = [
        format!("model={}", model.display()),
        format!("config={}", config.display()),
        "folds=3".to_owned(),
        "epochs=1".to_owned(),
        "frames=2".to_owned(),
    ];
    let folds = script("folds.rhai");
    let run = |index: &str| {
        let mut words = vec!["batch", "folds.csv", "--out", "folds", "--script", &folds, "--shard", "auto/3"];
        sets.iter().for_each(|set| words.extend(["--set", set]));
        let mut command = host.command(&words);
        let ran = command.env("SLURM_ARRAY_TASK_ID", index).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    };
    ["0", "1"].into_iter().for_each(run);
    let report = script("folds_report.rhai");
    let early = ["run", &report, "--set", "folder=folds", "--set", "folds=3", "--allow", "folds"];
    host.run(&early).fails_with(&["2 folds have a test.csv, and there should be 3"]);
    run("2");
    let reply = host.run(&early).ok();
    assert!(reply.starts_with("3 folds, 5 cases\ndice: 0."), "{reply}");
    let table = fs::read_to_string(host.path("folds/cases.csv")).unwrap();
    let cases: BTreeSet<&str> =
        table.lines().skip(1).filter_map(|line| line.split(',').find(|c| c.contains("eye"))).collect();
    assert_eq!(cases.len(), 5, "{table}");
    let fold_of = |eye: &str| {
        table.lines().find(|line| line.contains(eye)).and_then(|line| line.split("fold").nth(1)).unwrap().chars().next()
    };
    assert_eq!(fold_of("eye0"), fold_of("eye4"), "both eyes of a person stay together: {table}");
    let report: Value = serde_json::from_slice(&fs::read(host.path("folds/report.json")).unwrap()).unwrap();
    let dice = &report["measures"]["dice"];
    assert!(dice["lowest_fold"].as_f64() <= dice["mean"].as_f64() && dice["between_folds"].is_number(), "{report}");
}
