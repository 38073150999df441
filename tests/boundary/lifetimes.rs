//! Memory that a host lends goes back when nobody needs it any more: scripts keep none of the runs before, labels none at all.

use super::interfaces::both;
use super::{json, mini};
use sam_octa2_abi::{Api, Form, Prompt, Volume};
use serde_json::json;
use std::sync::Arc;

/// Two slices of the host's memory.
fn lend(api: Api) -> (Arc<Vec<u8>>, Volume) {
    let values: Arc<Vec<u8>> = Arc::new((0..2 * 64 * 64).map(|at: usize| (at * 7 % 251) as u8).collect());
    let volume = api.lend_volume(values.clone(), &[2, 64, 64], None).unwrap();
    (values, volume)
}

/// Is the memory the host's alone?
fn is_back(values: &Arc<Vec<u8>>) -> bool {
    Arc::strong_count(values) == 1
}

#[test]
fn a_script_engine_keeps_no_volume_of_earlier_runs() {
    for (interface, api) in both() {
        let script = api.script().unwrap();
        let run = |id: u64, source: &str| {
            script.run(&json!({"source": source, "args": {"v": {"handle": id}}}).to_string(), &mut ())
        };
        for _ in 0..5 {
            let (values, volume) = lend(api);
            let id = script.share_volume(&volume).unwrap();
            drop(volume); // the share lives until a run has ended
            assert!(!is_back(&values), "{interface}");
            assert_eq!(json(&run(id, "arg(\"v\").frames").unwrap())["result"], 2, "{interface}");
            assert!(is_back(&values), "{interface}");
            assert!(run(id, "arg(\"v\").frames").unwrap_err().message.contains("handle"), "{interface}");
        }
        // as long as the host keeps its handle, the number stands for it
        let (values, volume) = lend(api);
        let id = script.share_volume(&volume).unwrap();
        for source in ["arg(\"v\").frames", "throw 1", "arg(\"v\").frames"] {
            assert_eq!(run(id, source).is_ok(), source.starts_with("arg"), "{interface}");
        }
        assert!(script.volume(id).is_ok(), "{interface}");
        drop(volume);
        assert!(is_back(&values), "{interface}");
        // a run that is refused was a run, too
        let (values, volume) = lend(api);
        script.share_volume(&volume).unwrap();
        drop(volume);
        script.run(r#"{"source": "1", "limits": {"sekonds": 1}}"#, &mut ()).unwrap_err();
        assert!(is_back(&values), "{interface}");
    }
}

#[test]
fn a_volume_that_a_function_of_the_host_gives_lives_for_the_run() {
    for (interface, api) in both() {
        let script = Arc::new(api.script().unwrap());
        let (values, volume) = lend(api);
        let (weak, given) = (Arc::downgrade(&script), std::sync::Mutex::new(Some(volume)));
        script
            .add_function(r#"{"name": "give"}"#, move |_| {
                let volume = given.lock().unwrap().take().ok_or("no more")?;
                let id = weak.upgrade().ok_or("gone")?.share_volume(&volume).map_err(|error| error.to_string())?;
                Ok(json!({"handle": id}).to_string())
            })
            .unwrap();
        let reply = script.run(&json!({"source": "let v = viewer::give(); v.range; v"}).to_string(), &mut ()).unwrap();
        // what the script shows lives until the next run
        let shown = json(&reply)["result"]["handle"].as_u64().unwrap();
        drop(script.volume(shown).unwrap());
        script.run(r#"{"source": "1"}"#, &mut ()).unwrap();
        assert!(is_back(&values) && script.volume(shown).is_err(), "{interface}");
    }
}

#[test]
fn labels_do_not_keep_the_volume() {
    let folder = tempfile::tempdir().unwrap();
    for (interface, api) in both() {
        let (values, volume) = lend(api);
        let session = api.session(&volume, &mini(api), None, &mut ()).unwrap();
        session.prompt(&Prompt::click(0, 1, [30.0, 30.0]), &mut ()).unwrap();
        let labels = session.labels(&mut ()).unwrap();
        // through the script engine and back
        let script = api.script().unwrap();
        let id = script.share_labels(&labels).unwrap();
        let request = json!({"source": "arg(\"l\")", "args": {"l": {"handle": id}}}).to_string();
        let back = json(&script.run(&request, &mut ()).unwrap())["result"]["handle"].as_u64().unwrap();
        let again = script.labels(back).unwrap();
        drop((session, volume));
        assert!(is_back(&values), "{interface}: labels keep the voxels");
        for (labels, name) in [(&labels, "a.nii.gz"), (&again, "b.nii.gz")] {
            let values = labels.view(Form::Labels).unwrap();
            assert_eq!(values.shape(), [2, 64, 64], "{interface}");
            labels.write(&folder.path().join(name).display().to_string(), None, &mut ()).unwrap();
        }
    }
}
