//! A session as bytes, and back.

use super::interfaces::both;
use super::{clicked, demo_volume, mini};
use sam_octa2_abi::{Flow, Form, Prompt, Session};

fn logits(session: &Session, frame: u64) -> Vec<f32> {
    session.mask(frame, 1).unwrap().view(Form::Logits).unwrap().values::<f32>().unwrap().to_vec()
}

#[test]
fn a_restored_session_goes_on_as_if_nothing_had_been() {
    for (interface, api) in both() {
        let (session, click) = clicked(api);
        session.propagate(Some(r#"{"max_frames": 3}"#), &mut |_| Flow::CONTINUE, &mut ()).unwrap();
        let state = session.save(&mut ()).unwrap();
        let bytes = state.values::<u8>().unwrap();
        let other = api.restore(&demo_volume(api), &mini(api), bytes, None, &mut ()).unwrap();
        assert_eq!(logits(&session, 4), logits(&other, 4), "{interface}");
        let more = Prompt { points: vec![60.0, 70.0], frame: 4, ..click };
        for session in [&session, &other] {
            session.prompt(&more, &mut ()).unwrap();
            session.propagate(None, &mut |_| Flow::CONTINUE, &mut ()).unwrap();
        }
        assert_eq!(logits(&session, 9), logits(&other, 9), "{interface}");
    }
}

#[test]
fn foreign_bytes_are_refused() {
    for (interface, api) in both() {
        let (session, _) = clicked(api);
        let state = session.save(&mut ()).unwrap();
        let bytes = state.values::<u8>().unwrap();
        let (volume, model) = (demo_volume(api), mini(api));
        let mut damaged = bytes.to_vec();
        damaged[bytes.len() / 2] ^= 1;
        for (what, bad) in
            [("empty", &[][..]), ("half", &bytes[..bytes.len() / 2]), ("text", b"hello"), ("bit", &damaged)]
        {
            let error = api.restore(&volume, &model, bad, None, &mut ()).unwrap_err();
            assert!(["format", "invalid_argument"].contains(&error.code.as_str()), "{interface}, {what}: {error:?}");
        }
        let crop = super::data("demo/volume.nii.gz");
        let other = api.open_volume(&crop, Some(r#"{"crop": "0,0,128,128"}"#), &mut ()).unwrap();
        assert!(api.restore(&other, &model, bytes, None, &mut ()).is_err(), "{interface}: another volume");
    }
}
