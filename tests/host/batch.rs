//! `host-demo batch`: the contract that engines drive. Scripts without a model: what is checked is what holds for any work.

use crate::scripts::root;
use crate::util::{Host, Ran};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Bright voxels of a volume: a file and numbers.
const COUNT: &str = r#"
let volume = open_volume(arg("volume"));
let labels = volume.threshold(arg("low", 120), 255);
labels.save(`${arg("out")}/labels.nii.gz`);
#{voxels: labels.count(1), inner: #{rows: volume.rows}}
"#;

/// A host with `count` small volumes, their manifest and a script.
fn cohort(count: usize, script: &str) -> Host {
    let host = Host::new();
    host.file("case.rhai", script);
    let mut manifest = "case,volume,group\n".to_owned();
    for at in 0..count {
        volume(&host, &format!("{at}.npy"), at as u8);
        manifest += &format!("c{at:02},{at}.npy,{}\n", at % 2);
    }
    host.file("cases.csv", manifest);
    host
}

/// 1 x 8 x 8 bytes, of which the first `bright` (and at least one) are bright.
fn volume(host: &Host, name: &str, bright: u8) {
    let head = "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 8, 8), }";
    let head = format!("{head:<117}\n");
    let voxels: Vec<u8> = (0..64).map(|at| if at <= bright { 200 } else { 10 }).collect();
    host.file(name, [b"\x93NUMPY\x01\x00\x76\x00", head.as_bytes(), &voxels].concat());
}

fn batch<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["batch", "cases.csv", "--out", "out", "--script", "case.rhai"], more].concat()
}

fn run(host: &Host, more: &[&str]) -> Ran {
    host.run(&batch(more))
}

/// It ended with this code, and says this.
fn ends_with(ran: Ran, code: i32, text: &str) -> Ran {
    assert!(
        ran.code == Some(code) && ran.stderr.contains(text) && !ran.stderr.contains("panicked"),
        "{code}, {text}: {ran:#?}"
    );
    ran
}

fn record(host: &Host, case: &str) -> Value {
    serde_json::from_slice(&fs::read(host.path(&format!("out/records/{case}.json"))).unwrap()).unwrap()
}

/// The table as maps, by case.
fn table(host: &Host) -> BTreeMap<String, BTreeMap<String, String>> {
    host.run(&["batch", "merge", "out", "--csv", "table.csv", "--html", "page.html"]).ok();
    let text = fs::read_to_string(host.path("table.csv")).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    let head = lines.next().unwrap();
    let row = |cells: Vec<String>| (cells[0].clone(), head.iter().cloned().zip(cells).collect());
    lines.map(row).collect()
}

/// All files below a folder with their contents.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                found.insert(path.strip_prefix(folder).unwrap().display().to_string(), fs::read(path).unwrap());
            }
        }
    }
    found
}

fn no_half_files(host: &Host) {
    assert_eq!(contents(&host.path("out/tmp")).len(), 0);
    assert!(!contents(&host.path("out")).keys().any(|name| name.contains("partial") || name.contains(".tmp")));
}

fn start(host: &Host, more: &[&str]) -> Child {
    host.command(&batch(more)).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(name: &str, process: u32) {
    assert!(Command::new("kill").args([name, &process.to_string()]).status().unwrap().success());
}

/// Waits until something is so; only the limit depends on how busy the machine is.
fn wait_for<T>(what: impl Fn() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = what() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(120));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The worker of a run that is within a case.
fn worker_of(run: &Child) -> u32 {
    let path = format!("/proc/{0}/task/{0}/children", run.id());
    wait_for(|| fs::read_to_string(&path).ok()?.split_whitespace().next()?.parse().ok())
}

/// A case has begun: its file lies in the folder of a process, which comes and goes meanwhile.
fn under_way(host: &Host) -> Option<()> {
    let below = |path: PathBuf| fs::read_dir(path).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut cases = below(host.path("out/tmp")).flat_map(below);
    cases.any(|case| case.join("begun.json").exists()).then_some(())
}

#[test]
fn a_cohort_from_manifest_to_table() {
    let host = cohort(5, COUNT);
    assert!(run(&host, &[]).stderr.contains("5 done, 0 failed"));
    let record = record(&host, "c03");
    assert_eq!(
        (&record["status"], &record["result"]["voxels"], &record["values"]["group"]),
        (&"done".into(), &4.into(), &"1".into())
    );
    assert_eq!(record["inputs"]["volume"]["sha256"].as_str().unwrap().len(), 64);
    assert!(record["outputs"]["labels.nii.gz"]["bytes"].as_u64().unwrap() > 0);
    assert!(!record["settings"]["libraries"].as_object().unwrap().is_empty(), "{record}");
    host.run(&["batch", "status", "out", "--manifest", "cases.csv"]).ok();
    let table = table(&host);
    assert_eq!(table.len(), 5);
    assert_eq!(
        (table["c04"]["voxels"].as_str(), table["c04"]["inner.rows"].as_str(), table["c04"]["status"].as_str()),
        ("5", "8", "done")
    );
    let dictionary: Value = serde_json::from_slice(&fs::read(host.path("table.json")).unwrap()).unwrap();
    assert_eq!(dictionary["seconds"]["unit"], "s");
    assert!(fs::read_to_string(host.path("page.html")).unwrap().contains("5 cases, 5 done"));
    no_half_files(&host);
}

#[test]
fn results_are_the_same_bits_whatever_the_shards() {
    let (one, three) = (cohort(7, COUNT), cohort(7, COUNT));
    run(&one, &[]).ok();
    for index in ["2/3", "0/3", "1/3"] {
        run(&three, &["--shard", index]).ok();
    }
    assert_eq!(contents(&one.path("out/results")), contents(&three.path("out/results")));
    assert_eq!(contents(&one.path("out/results")).len(), 7);
    let listed: Vec<String> =
        ["0/3", "1/3", "2/3"].iter().map(|shard| run(&three, &["--list", "--shard", shard]).ok()).collect();
    assert_eq!(listed, ["c00\nc03\nc06\n", "c01\nc04\n", "c02\nc05\n"]);
    run(&three, &["--shard", "9/12"]).ok(); // an empty shard
}

#[test]
fn resuming_believes_only_records_that_match() {
    let host = cohort(3, COUNT);
    run(&host, &[]).ok();
    let done = |more: &[&str]| {
        let ran = run(&host, &[&["--resume"], more].concat());
        assert_eq!(ran.code, Some(0), "{ran:#?}");
        ran.stderr
            .lines()
            .filter(|line| line.contains(": done ("))
            .map(|line| line[6..9].to_owned())
            .collect::<Vec<_>>()
    };
    assert!(done(&[]).is_empty(), "all is done");
    volume(&host, "1.npy", 33);
    assert_eq!(done(&[]), ["c01"], "another input");
    fs::remove_file(host.path("out/results/c02/labels.nii.gz")).unwrap();
    assert_eq!(done(&[]), ["c02"], "a file is gone");
    fs::write(host.path("out/records/c00.json"), "{\"half\":").unwrap();
    assert_eq!(done(&[]), ["c00"], "half a record");
    assert_eq!(done(&["--set", "low=150"]), ["c00", "c01", "c02"], "another option");
    assert!(done(&["--set", "low=150", "--verify"]).is_empty());
    host.file("case.rhai", format!("{COUNT}// another script"));
    assert_eq!(done(&[]).len(), 3, "another script");
}

#[test]
fn a_failed_case_fails_alone_and_says_why() {
    let host = cohort(3, COUNT);
    host.file("1.npy", b"\x93NUMPY damaged");
    fs::remove_file(host.path("2.npy")).unwrap();
    let ran = ends_with(run(&host, &[]), 3, "1 done, 2 failed");
    assert!(ran.stderr.contains("c01: failed: ") && ran.stderr.contains("1.npy"), "{ran:#?}");
    let reply = host.run(&["batch", "status", "out"]);
    assert!(reply.code == Some(3) && reply.stdout.contains("3 cases: 1 done, 2 failed, 0 missing"), "{reply:#?}");
    let table = table(&host);
    assert!(table["c01"]["status"] == "failed" && table["c01"]["reason"].contains("1.npy"), "{table:?}");
    assert!(table["c02"]["reason"].contains("No such file"), "{table:?}");
    assert!(!host.path("out/results/c01/labels.nii.gz").exists());
    ends_with(run(&host, &["--resume"]), 3, "0 done, 2 failed, 3 passed over");
    ends_with(run(&host, &["--fail-fast"]), 3, "1 done, 1 failed");
    volume(&host, "1.npy", 4);
    volume(&host, "2.npy", 4);
    run(&host, &["--resume"]).ok();
    host.run(&["batch", "status", "out"]).ok();
    ends_with(run(&cohort(2, "throw \"never\""), &[]), 4, "never");
}

#[test]
fn what_takes_too_long_or_too_much_fails_alone() {
    let slow = "if arg(\"case\") == \"c00\" { loop { sleep(0.01) } } 1";
    let host = cohort(2, slow);
    ends_with(run(&host, &["--max-seconds", "10"]), 3, "seconds");
    assert_eq!(record(&host, "c00")["error"]["kind"], "time");
    assert_eq!(record(&host, "c01")["result"], 1);
    let greedy = "if arg(\"case\") == \"c00\" { let held = []; let text = \"0123456789abcdef\"; for turn in 0..19 { text += text; } loop { held.push(text + \"x\"); } } 1";
    let host = cohort(2, greedy);
    ends_with(run(&host, &["--max-memory", "200"]), 3, "1 done, 1 failed");
    assert_eq!(record(&host, "c00")["error"]["kind"], "memory", "{}", record(&host, "c00"));
}

/// The first end of a worker may be chance: the case is tried once more. The second one is the case's fault.
#[test]
fn a_worker_that_is_killed_costs_nothing_or_one_case() {
    let script = "write_json(`${arg(\"out\")}/begun.json`, 1); if arg(\"case\") == \"c00\" && !exists(\"go\") { sleep(100.0) } 1";
    let host = cohort(2, script);
    let child = start(&host, &[]);
    wait_for(|| under_way(&host));
    host.file("go", "");
    signal("-KILL", worker_of(&child));
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert!(ran.code == Some(0) && record(&host, "c00")["run"]["attempts"] == 2, "{ran:#?}");

    fs::remove_file(host.path("go")).unwrap();
    let child = start(&host, &[]);
    let first = worker_of(&child);
    wait_for(|| under_way(&host));
    signal("-KILL", first);
    let second = wait_for(|| Some(worker_of(&child)).filter(|&worker| worker != first));
    wait_for(|| under_way(&host));
    signal("-KILL", second);
    let ran = ends_with(Ran::from(child.wait_with_output().unwrap()), 3, "signal 9");
    assert_eq!(record(&host, "c00")["error"]["kind"], "crash", "{ran:#?}");
    assert_eq!(record(&host, "c01")["status"], "done");
    no_half_files(&host);
}

#[test]
fn a_run_that_is_ended_goes_on_where_it_was() {
    let script = "write_json(`${arg(\"out\")}/begun.json`, 1); if arg(\"case\") == \"c01\" && !exists(\"go\") { sleep(100.0) } 1";
    for (name, code) in [("-TERM", Some(143)), ("-INT", Some(130)), ("-KILL", None)] {
        let host = cohort(3, script);
        let child = start(&host, &["--resume"]);
        let worker = worker_of(&child);
        wait_for(|| host.path("out/records/c00.json").exists().then_some(()));
        wait_for(|| under_way(&host));
        signal(name, child.id());
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert_eq!(ran.code, code, "{ran:#?}");
        wait_for(|| (!Path::new(&format!("/proc/{worker}")).exists()).then_some(())); // it never outlives the run
        assert!(!host.path("out/records/c01.json").exists());
        host.file("go", "");
        let ran = run(&host, &["--resume"]);
        assert!(ran.stderr.contains("2 done, 0 failed, 1 passed over"), "{ran:#?}");
        no_half_files(&host);
    }
}

#[test]
fn two_processes_of_one_shard_do_no_harm() {
    let host = cohort(12, COUNT);
    let children = [start(&host, &["--resume"]), start(&host, &["--resume"])];
    for child in children {
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert_eq!(ran.code, Some(0), "{ran:#?}");
    }
    assert_eq!(table(&host).len(), 12);
    host.run(&["batch", "status", "out"]).ok();
    assert_eq!(contents(&host.path("out/results")).len(), 12);
    no_half_files(&host);
}

#[test]
fn a_full_disk_is_no_fault_of_the_case() {
    let host = cohort(3, COUNT);
    run(&host, &["--list"]).ok();
    fs::create_dir_all(host.path("out/shards")).unwrap();
    std::os::unix::fs::symlink("/dev/full", host.path("out/shards/0-of-1.jsonl")).unwrap();
    ends_with(run(&host, &["--resume"]), 75, "No space left on device");
    fs::remove_file(host.path("out/shards/0-of-1.jsonl")).unwrap();
    run(&host, &["--resume"]).ok();
    host.run(&["batch", "status", "out"]).ok();
}

#[test]
fn mistakes_are_said_before_anything_is_done() {
    let host = cohort(2, COUNT);
    for (arguments, code, says) in [
        (&["--shard", "2/2"][..], 2, "I from 0 to N-1"),
        (&["--shard", "auto"], 2, "no array task"),
        (&["--fail-fast", "--keep-going"], 2, "cannot be used with"),
        (&["--model", "nano"], 2, "cannot be used with"),
    ] {
        ends_with(run(&host, arguments), code, says);
    }
    let with = |more: &[&str]| host.run(&[&["batch", "cases.csv", "--out", "out"], more].concat());
    ends_with(with(&[]), 2, "required");
    ends_with(with(&["--model", "nano"]), 2, "--prompts-column, or --no-prompts");
    host.file("case.rhai", "arg(\"nose\")");
    ends_with(run(&host, &[]), 2, "the script needs `nose`");
    host.file("case.rhai", "nonesuch(1)");
    ends_with(run(&host, &[]), 2, "nonesuch");
    host.file("cases.csv", "case,file\n1,2\n");
    ends_with(run(&host, &[]), 65, "no column `volume`");
    ends_with(host.run(&["batch", "gone.csv", "--out", "out", "--script", "case.rhai"]), 65, "gone.csv");
    assert!(!host.path("out").exists());
    ends_with(host.run(&["batch", "status", "out"]), 1, "no folder of");
}

#[test]
fn a_dry_run_says_what_would_be_done() {
    let host = cohort(3, COUNT);
    fs::remove_file(host.path("2.npy")).unwrap();
    let reply = run(&host, &["--dry-run"]).ok();
    assert!(reply.starts_with("c00\tto do\nc01\tto do\nc02\twould fail: volume: there is no "), "{reply}");
    assert!(!host.path("out").exists());
    run(&host, &[]);
    assert!(run(&host, &["--dry-run", "--resume"]).ok().starts_with("c00\tdone\n"));
}

/// The script that the program carries: without prompts, with a prompt file, with labels on one slice.
#[test]
fn a_model_segments_and_measures() {
    let host = Host::new();
    let data = root().join("tests/data/rossa");
    let truth = data.join("layers_truth");
    host.file(
        "p.json",
        r#"{"objects": [{"id": 1, "prompts": [{"frame": 3, "points": [[160, 160]]}]}], "direction": "both"}"#,
    );
    let volume = data.join("layers").display().to_string();
    host.file(
        "cases.csv",
        format!("case,volume,prompts,labels,eye,field\nfree,{volume},,,OD,3\nclick,{volume},p.json,,left,3\nlabels,{volume},,{},,\n", truth.display()),
    );
    let ran =
        host.run(&["batch", "cases.csv", "--out", "out", "--model", "nano", "--prompts-column", "--threads", "1"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let table = table(&host);
    let number = |case: &str, column: &str| {
        table[case][column].parse::<f64>().unwrap_or_else(|_| panic!("{case} {column}: {table:?}"))
    };
    assert!((0.05..2.0).contains(&number("free", "faz_area_mm2")));
    assert!((0.05..0.9).contains(&number("free", "vessel_area_density")));
    assert!(number("click", "lowest_iou") > 0.0 && number("labels", "objects") >= 2.0);
    for case in ["free", "click", "labels"] {
        assert!(host.path(&format!("out/results/{case}/front.png")).exists());
    }
    let page = fs::read_to_string(host.path("page.html")).unwrap().replace("&#x2f;", "/");
    assert!(page.contains("out/results/click/front.png"), "{page}");
}

#[test]
fn a_model_that_is_not_there_is_said_once() {
    let host = cohort(2, COUNT);
    let ran = host.run(&["batch", "cases.csv", "--out", "out", "--model", "nonesuch", "--no-prompts"]);
    ends_with(ran, 2, "--model nonesuch: is not here");
    assert!(!host.path("out/records").exists());
}

#[test]
fn a_folder_is_a_manifest() {
    let host = cohort(2, COUNT);
    let reply = host.run(&["batch", ".", "--out", "out", "--script", "case.rhai", "--list"]).ok();
    assert_eq!(reply, "0\n1\n");
    let dicom = root().join("tests/data/dicom");
    let reply = host.run(&["batch", &dicom.display().to_string(), "--out", "out", "--script", "case.rhai", "--list"]);
    assert_eq!(reply.code, Some(0), "{reply:#?}");
}
