//! Whatever the text, the reader answers.

use super::*;
