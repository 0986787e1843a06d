"""A visitor's photo in their session."""

from threading import Barrier, Thread

from PIL import Image

from img2prompt.web.shared.photo import Photo


def test_two_photos_are_opened_at_the_same_time():
    both = Barrier(2, timeout=300)  # breaks where one waits until the other is open

    def open_picture() -> Image.Image:
        both.wait()
        return Image.new("RGB", (8, 8))

    photos = [Photo("a", open_picture), Photo("b", open_picture)]
    threads = [Thread(target=lambda photo=photo: photo.picture) for photo in photos]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not both.broken


def test_a_photo_is_opened_once_until_it_rests():
    opened = []
    photo = Photo("a", lambda: opened.append(1) or Image.new("RGB", (8, 8)))
    assert photo.picture is photo.picture and len(opened) == 1
    photo.rest()
    assert photo.picture.size == (8, 8) and len(opened) == 2
