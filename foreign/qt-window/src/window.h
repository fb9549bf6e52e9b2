// A window with a button and a line of text.
#pragma once

#include <memory>

#include "rust/cxx.h"

namespace ropewalk {

struct Buttoned;

class Window {
public:
    Window(rust::Box<Buttoned> buttoned, rust::Str text);
    ~Window();

    void set_text(rust::Str text) const;
    // Returns when the window is closed.
    void run() const;

private:
    struct Parts;
    std::unique_ptr<Parts> parts;
};

std::unique_ptr<Window> open_window(rust::Box<Buttoned> buttoned, rust::Str text);

}  // namespace ropewalk
