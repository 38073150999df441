// Segments the open stack of ImageJ with SAM-OCTA2 and gives back a stack of object numbers and a region of interest per object and slice.
//
// Mark an object with the multi-point tool, on any slices, or with a rectangle on one, and press T: each region in the ROI manager is an object, the
// first one is object 1. A selection that is not in the manager is one object. Without any, vessels and FAZ are found by themselves.
//
// Arguments, separated by blanks:   host=FILE     host-demo                    [default: host-demo in the PATH]
//                                   model=NAME    the model                    [default: nano]
//                                   follow=MODE   forward, backward, both      [default: both]

host = "host-demo"; model = "nano"; follow = "both";
words = split(getArgument(), " ");
for (i = 0; i < words.length; i++) {
    at = indexOf(words[i], "=");
    if (at < 0) exit("SAM-OCTA2: \"" + words[i] + "\" is none of host=FILE, model=NAME, follow=MODE");
    key = substring(words[i], 0, at); value = substring(words[i], at + 1);
    if (key == "host") host = value;
    else if (key == "model") model = value;
    else if (key == "follow") follow = value;
    else exit("SAM-OCTA2: the macro does not know the argument \"" + key + "\"; it has host, model and follow");
}
if (nImages == 0) exit("SAM-OCTA2: open a stack first");

image = getImageID(); title = getTitle();
folder = getDirectory("temp") + "sam-octa2-" + floor(random * 1e9) + File.separator;
File.makeDirectory(folder);
marks = roiManager("count");
prompted = marks > 0 || selectionType() != -1;
if (prompted) File.saveString(prompts(marks, follow), folder + "prompts.json");
copy_to(folder + "stack.tif");
if (prompted) {
    reply = exec(host, "segment", folder + "stack.tif", "--model", model, "--prompts", folder + "prompts.json", "--out", folder + "labels.tif", "--quiet");
} else {
    reply = exec(host, "segment", folder + "stack.tif", "--model", model, "--no-prompts", "--out", folder + "labels.tif", "--quiet");
}
if (!File.exists(folder + "labels.tif")) exit("SAM-OCTA2: " + reply);
if (reply != "") print(reply);

setBatchMode(true);
open(folder + "labels.tif");
rename("Objects of " + title);
labels = getImageID();
regions(labels);
setBatchMode("exit and display");
selectImage(labels);
colours();
File.delete(folder + "labels.tif"); File.delete(folder + "stack.tif");
if (prompted) File.delete(folder + "prompts.json");
File.delete(folder);

// The regions as a prompt file: one object for each.
function prompts(marks, follow) {
    text = "";
    for (mark = 0; mark < maxOf(marks, 1); mark++) {
        if (marks > 0) roiManager("select", mark);
        if (selectionType() == 10) given = points();
        else if (selectionType() == 0) given = box();
        else exit("SAM-OCTA2: mark objects with points or rectangles; region " + (mark + 1) + " is another kind");
        text = text + ", {\"id\": " + (mark + 1) + ", \"prompts\": [" + given + "]}";
    }
    return "{\"objects\": [" + substring(text, 2) + "], \"direction\": \"" + follow + "\"}";
}

// The points of the selection, one entry for each slice. ImageJ counts from the corner of a pixel, a prompt from its middle.
function points() {
    getSelectionCoordinates(xs, ys);
    text = "";
    for (slice = 1; slice <= nSlices; slice++) {
        places = ""; inside = "";
        for (i = 0; i < xs.length; i++) {
            on = Roi.getPointPosition(i);
            if (on == 0) on = getSliceNumber();
            if (on == slice) {
                places = places + ", [" + d2s(xs[i] - 0.5, 3) + ", " + d2s(ys[i] - 0.5, 3) + "]";
                inside = inside + ", 1";
            }
        }
        if (places != "") text = text + ", {\"frame\": " + (slice - 1) + ", \"points\": [" + substring(places, 2) + "], \"labels\": [" + substring(inside, 2) + "]}";
    }
    return substring(text, 2);
}

// The rectangle, on the slice that is shown.
function box() {
    getSelectionBounds(x, y, width, height);
    return "{\"frame\": " + (getSliceNumber() - 1) + ", \"box\": [" + x + ", " + y + ", " + (x + width - 1) + ", " + (y + height - 1) + "]}";
}

// Saves the stack as it is, without its selection, and leaves the window as it was.
function copy_to(path) {
    setBatchMode(true);
    selectImage(image);
    run("Select None");
    run("Duplicate...", "title=sam-octa2-copy duplicate");
    saveAs("Tiff", path);
    close();
    selectImage(image);
    run("Restore Selection");
    setBatchMode(false);
}

// Black, then seven colours in turn that colour-blind people tell apart (Okabe and Ito), as in the pictures of host-demo.
function colours() {
    palette = newArray(230, 159, 0, 86, 180, 233, 0, 158, 115, 240, 228, 66, 0, 114, 178, 213, 94, 0, 204, 121, 167);
    reds = newArray(256); greens = newArray(256); blues = newArray(256);
    for (i = 1; i < 256; i++) {
        at = 3 * ((i - 1) % 7);
        reds[i] = palette[at]; greens[i] = palette[at + 1]; blues[i] = palette[at + 2];
    }
    setMinAndMax(0, 255);
    setLut(reds, greens, blues);
}

// Every object of every slice goes into the ROI manager, in place of the marks.
function regions(labels) {
    if (roiManager("count") > 0) roiManager("reset");
    selectImage(labels);
    Stack.getStatistics(voxels, mean, least, most);
    for (object = 1; object <= most; object++) {
        for (slice = 1; slice <= nSlices; slice++) {
            setSlice(slice);
            setThreshold(object, object);
            run("Create Selection");
            if (selectionType() != -1) {
                Roi.setPosition(slice);
                roiManager("add");
                roiManager("select", roiManager("count") - 1);
                roiManager("rename", "object " + object + ", slice " + slice);
            }
            run("Select None");
        }
    }
    resetThreshold();
    setSlice(1);
}
