# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# A file system to measure on.
#
#   disk_mount IMAGE DIRECTORY   mount the file system in IMAGE; the loop device goes when that is unmounted
#
# The device writes past the page cache.  Through it every sync of anything there is a sync of the whole
# image, so that a client who commits waits for all that others wrote meanwhile: up to a second beside a
# copy of 1 GB, of which a disk knows nothing.

disk_mount() {
        local device

        device=$(losetup --find --show --direct-io=on "$1") || return 1
        mount "$device" "$2" && losetup --detach "$device" && return 0
        losetup --detach "$device"
        return 1
}
