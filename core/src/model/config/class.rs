//! Which class of upstream's a part of the configuration describes: the last name of its `_target_`.

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// The key that Hydra takes the class from.
pub(super) const TARGET: &str = "_target_";

/// Classes that decide what a part is. Every other part is the only one that can stand in its place, and its class is passed over.
const DECIDING: [&str; 6] =
    ["ViT", "ViTDetNeck", "TimmBackbone", "EfficientRoPEAttention1", "EfficientRoPEAttention2", "RoPEAttentionv2"];

/// The class that a `_target_` names (`package.module.Class`), where it decides.
pub(super) fn deciding(target: &Value) -> Option<&'static str> {
    let class = target.as_str()?.rsplit('.').next();
    DECIDING.into_iter().find(|&known| Some(known) == class)
}

/// A part with the class in front, as it is written.
#[derive(Serialize)]
struct Tagged<'a, T> {
    #[serde(rename = "_target_")]
    class: &'static str,
    #[serde(flatten)]
    config: &'a T,
}

/// Writes a part whose class decides.
fn tagged<T: Serialize, S: Serializer>(class: &'static str, config: &T, serializer: S) -> Result<S::Ok, S::Error> {
    Tagged { class, config }.serialize(serializer)
}

/// Reads a part without its class. What is wrong is said with its place within the part, which [`place_within`] takes apart again.
fn part<T: DeserializeOwned, E: serde::de::Error>(value: Value) -> Result<T, E> {
    serde_path_to_error::deserialize(value).map_err(|error| match error.path().to_string().as_str() {
        "." => E::custom(error.inner()),
        place => E::custom(format!("{place}: {}", error.inner())),
    })
}

/// An error's place and text, where the text begins with a place of its own.
pub(super) fn place_within(place: String, text: String) -> (String, String) {
    match text.split_once(": ") {
        Some((inner, what)) if !inner.contains(' ') => (format!("{place}.{inner}"), what.to_owned()),
        _ => (place, text),
    }
}

/// A part and the class that its `_target_` names.
fn split<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(Option<String>, Value), D::Error> {
    let mut value = Value::deserialize(deserializer)?;
    let class = value.as_object_mut().and_then(|map| map.remove(TARGET));
    Ok((class.and_then(|class| class.as_str().map(str::to_owned)), value))
}

/// One of several classes in the same place. The first is meant, and written, without a `_target_`, as in configurations from before
/// there was another.
macro_rules! one_of {
    ($(
        $(#[$about:meta])*
        $name:ident {
            $(#[$plain_about:meta])* $plain:ident($plain_config:ty),
            $($(#[$class_about:meta])* $class:ident($config:ty),)+
        }
    )+) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $name {
            $(#[$plain_about])* $plain($plain_config),
            $($(#[$class_about])* $class($config),)+
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    Self::$plain(config) => config.serialize(serializer),
                    $(Self::$class(config) => tagged(stringify!($class), config, serializer),)+
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let (class, value) = split(deserializer)?;
                match class.as_deref() {
                    None | Some(stringify!($plain)) => part(value).map(Self::$plain),
                    $(Some(stringify!($class)) => part(value).map(Self::$class),)+
                    Some(other) => Err(D::Error::custom(format!(
                        "{other} cannot stand here: one of {}",
                        [stringify!($plain) $(, stringify!($class))+].join(", ")
                    ))),
                }
            }
        }
    )+};
}

one_of! {
    /// `trunk`: picture to features.
    TrunkConfig {
        /// SAM 2's
        Hiera(super::HieraConfig),
        /// EfficientTAM's
        ViT(super::ViTConfig),
        /// EdgeTAM's
        TimmBackbone(super::TimmBackboneConfig),
    }
    /// `neck`: the trunk's features to the width that all else works in.
    NeckConfig {
        /// SAM 2's and EdgeTAM's
        FpnNeck(super::FpnNeckConfig),
        /// EfficientTAM's
        ViTDetNeck(super::ViTDetNeckConfig),
    }
}

impl TrunkConfig {
    /// Channels per level that the neck gets, the coarsest first.
    pub fn channel_list(&self) -> Vec<i64> {
        match self {
            Self::Hiera(trunk) => trunk.channel_list(),
            Self::ViT(trunk) => vec![trunk.embed_dim],
            Self::TimmBackbone(trunk) => trunk.channel_list(),
        }
    }

    /// SAM 2's trunk.
    pub fn hiera(&self) -> Option<&super::HieraConfig> {
        match self {
            Self::Hiera(trunk) => Some(trunk),
            _ => None,
        }
    }
}

impl NeckConfig {
    /// Channels of every level.
    pub fn d_model(&self) -> i64 {
        match self {
            Self::FpnNeck(neck) => neck.d_model,
            Self::ViTDetNeck(neck) => neck.d_model,
        }
    }

    /// Encoding of every level's positions.
    pub fn position_encoding(&self) -> &super::PositionEncodingConfig {
        match self {
            Self::FpnNeck(neck) => &neck.position_encoding,
            Self::ViTDetNeck(neck) => &neck.position_encoding,
        }
    }

    /// Channels of the trunk's levels, the coarsest first.
    pub fn backbone_channel_list(&self) -> &[i64] {
        match self {
            Self::FpnNeck(neck) => &neck.backbone_channel_list,
            Self::ViTDetNeck(neck) => &neck.backbone_channel_list,
        }
    }
}
