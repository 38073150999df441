//! `host-demo info`: what a file says about itself.

use super::InputRequest;
use crate::Result;
use crate::io::VolumeInfo;

/// What is known of the volume, in the orientation asked for.
pub fn info(request: &InputRequest) -> Result<VolumeInfo> {
    let volume = request.open_once(&mut ())?.along(request.axis()?)?;
    VolumeInfo::new(&volume, &request.input)
}
